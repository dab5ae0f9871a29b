"""Commands to begin with, by verb: what `--help` shows, and what an error of a missing word proposes."""

from __future__ import annotations

Example = tuple[str, str]
"""What a command answers, and the command without its first word."""

FIRST: tuple[Example, ...] = (
    ("what one network costs, layer by layer", "show article"),
    ("the networks around it, with a page to look at", "sweep --blocks 2,4,3,2 --max-params 8M"),
    ("budgets for the models of this folder, and the file that holds them to it", "init"),
)

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "show": (
        ("the article's network, the two upper levels of its layers", "show article --depth 2"),
        ("a preset with an option overridden, and its peak memory", "show densenet121 --classes 2 --batch 32 --peak"),
        ("a model of your own, with its arguments and input",
         "show models.py:build --kwarg width=32 --input 1,3,224,224"),
    ),
    "compare": (
        ("two networks at the same classes", "compare article densenet121 --classes 2"),
        ("the layers that carry the difference in MACs", "compare densenet121 densenet169 --by macs --top 5"),
        ("a model of your own beside a preset", "compare resnet50 models.py:build --input 1,3,224,224"),
    ),
    "sweep": (
        ("counts alone, against a budget", "sweep --blocks 2,4,3,2 --max-params 8M --measure none"),
        ("a range of an axis, the front measured for two minutes", "sweep --growth double,8:64:8 --time 2m"),
        ("variants by name, all measured, kept in a folder",
         "sweep article densenet121 --classes 2 --measure all --out reports/two"),
    ),
    "search": (
        ("the most capable networks that cost no more than DenseNet121",
         "search --growth 4:64 --compression 0.25:1:0.05 --under densenet121"),
        ("the smallest of them", "search --growth 4:64 --minimize params,macs --min-depth 30"),
        ("what this machine runs fastest (measured)",
         "search --growth 8:64:8 --maximize conv_activations --objective measured_latency_s --trials 20"),
    ),
    "explain": (
        ("where the article's parameters sit, and what moves them", "explain article"),
        ("the mildest changes that meet a budget", "explain article --max-params 8M"),
        ("a preset's memory at a batch", "explain densenet121 --batch 32 --max-saved 2GiB"),
    ),
    "fit": (
        ("the largest batch on a card of 11 GiB", "fit densenet121 --memory 11GiB"),
        ("whether batch 64 trains under autocast", "fit resnet50 --memory 8GiB --batch 64 --autocast bfloat16"),
        ("a model of your own", "fit models.py:build --input 1,3,224,224 --memory 4GiB"),
    ),
    "measure": (
        ("times against DenseNet121, with a 95 % interval", "measure article --batch 8"),
        ("a training step in two minutes at most", "measure resnet50 --training --time 2m"),
        ("the allocator's word beside the prediction", "measure article --memory"),
    ),
    "calibrate": (
        ("this device's profile", "calibrate"),
        ("a GPU's, at half precision", "calibrate --device cuda --dtype float16"),
        ("into a file of a name, for --profile", "calibrate --out cpu.json"),
    ),
    "devices": (
        ("the devices whose latency can be predicted", "devices"),
        ("as JSON, for a program", "devices --format json"),
        ("then a network's time on one of them", "show densenet121 --on rtx3090"),
    ),
    "data check": (
        ("what is wrong with a folder of class folders", "data check images/"),
        ("and a split, by contents, to train on", "data check images/ --out split"),
        ("as JSON, for a program", "data check images.csv --format json"),
    ),
    "train": (
        ("a preset on a folder of class folders", "train densenet121 --data images/ --out runs --image 64"),
        ("three seeds, twenty epochs each", "train article --data images/ --out runs --seeds 0,1,2 --epochs 20"),
        ("what that would take, and no more", "train article --data images/ --out runs --dry-run"),
    ),
    "train compare": (
        ("what the runs of two networks show", "train compare runs"),
        ("two of several, by their names", "train compare runs densenet121 article"),
        ("where two points would matter", "train compare runs densenet121 article --margin 0.02"),
    ),
    "export": (
        ("a trained network as ONNX, compared on real images",
         "export runs/runs/article/last.safetensors --out net.onnx --data images/"),
        ("and quantised", "export densenet121 --out net.onnx --int8"),
        ("a model of your own as an exported program", "export models.py:Net --input 1,3,64,64 --out net.pt2"),
    ),
    "predict": (
        ("one photo's classes", "predict runs/runs/article/last.safetensors photo.jpg"),
        ("several", "predict runs/runs/article/last.safetensors a.jpg b.jpg"),
        ("as JSON, for a program", "predict runs/runs/article/last.safetensors photo.jpg --format json"),
    ),
    "compress": (
        ("the half of a network's params, the least important channels gone",
         "compress runs/runs/RUN/last.safetensors --max-params 3.5M --out small.safetensors"),
        ("no larger than DenseNet121, trained on after it", "compress runs/runs/RUN/last.safetensors "
         "--under densenet121 --plan 'prune l2 global, finetune 5, recalibrate' --data images/"),
        ("a model of your own", "compress models.py:Net@weights.pt --input 1,3,224,224 --max-macs 1G"),
    ),
    "results list": (
        ("every database below reports", "results list"),
        ("the rows of one", "results list reports/two"),
        ("the newest, as JSON lines", "results list reports/two --format jsonl"),
    ),
    "results runs": (
        ("what was trained there, with its last epoch", "results runs runs"),
        ("every epoch, as CSV", "results runs runs --format csv"),
        ("every epoch, as JSON lines", "results runs runs/results.db --format jsonl"),
    ),
    "results show": (
        ("one row in full", "results show reports/two article"),
        ("as JSON, every raw time in it", "results show reports/two article --format json"),
        ("of a database by its file", "results show reports/two/results.db densenet121"),
    ),
    "results export": (
        ("as CSV", "results export reports/two --out rows.csv"),
        ("as JSON lines, whole records", "results export reports/two --out rows.jsonl"),
        ("as Parquet (needs pyarrow)", "results export reports/two --out rows.parquet"),
    ),
    "results merge": (
        ("two machines' rows into one database", "results merge reports/here reports/there --out all.db"),
        ("another one's into an existing database", "results merge reports/three --out reports/two/results.db"),
        ("and the report on both", "report all.db"),
    ),
    "results prune": (
        ("rows without figures", "results prune reports/two --failed"),
        ("what that would remove", "results prune reports/two --failed --dry-run"),
        ("a device's measurements", "results prune reports/two --device cpu"),
    ),
    "init": (
        ("budgets and a lock file for this folder's models", "init"),
        ("what it would write", "init --dry-run"),
        ("with the file for GitHub's CI", "init --ci github"),
    ),
    "check": (
        ("every model against its budgets", "check"),
        ("what grew against a branch", "check --against origin/main"),
        ("a table here and a page in a file", "check --output table --output html=budget.html"),
    ),
    "lock": (
        ("write what the models cost now", "lock"),
        ("of another configuration", "lock --config services/analyzer.toml"),
        ("whether that is what the file says already", "lock --check"),
    ),
    "history": (
        ("what the models cost, over commits", "history"),
        ("as a page", "history --html history.html"),
        ("one model's, as JSON", "history --model net --format json"),
    ),
    "report": (
        ("a sweep's page again, under its own budget", "report reports/two"),
        ("under another budget", "report reports/two --max-params 8M --out tight.html"),
        ("what changed between two pages", "report before.html after.html"),
    ),
    "doctor": (
        ("versions, devices, and what would spoil a measurement", "doctor"),
        ("of a GPU", "doctor --device cuda"),
        ("as JSON, for a bug report", "doctor --format json"),
    ),
}  # fmt: skip
