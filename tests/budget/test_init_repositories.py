"""`analyze init` in repositories as they are found: small stand-ins, each with the structure of a well-known one.

Every expectation is by hand: which model, with which arguments and input, and how many parameters that has.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from project import Project

CONV_NET = """
from torch import nn


class {name}(nn.Module):
    def __init__(self{arguments}):
        super().__init__()
        self.conv = nn.Conv2d({channels}, {width}, 3)
        self.out = nn.Linear({width}, {classes})

    def forward(self, x):
        return self.out(self.conv(x).mean((2, 3)))
"""

ZOO_OF_FILES = {
    "models/__init__.py": "from .tower import *\nfrom .spire import *\n",
    "models/tower.py": """
import torch
import torch.nn as nn


class Step(nn.Module):
    def __init__(self, planes):
        super().__init__()
        self.conv = nn.Conv2d(planes, planes, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


class Tower(nn.Module):
    def __init__(self, block, numbers, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.steps = nn.Sequential(*[block(8) for _ in range(sum(numbers))])
        self.out = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.out(self.steps(self.stem(x)).mean((2, 3)))


def Tower2():
    return Tower(Step, [1, 1])


def Tower3():
    return Tower(Step, [1, 2])


def test():
    net = Tower2()
    print(net(torch.randn(1, 3, 32, 32)).size())
""",
    "models/spire.py": CONV_NET.format(name="Spire", arguments="", channels=3, width=6, classes=10),
    "main.py": """
import argparse
import torchvision
from models import *

parser = argparse.ArgumentParser()
parser.add_argument("--lr", default=0.1, type=float)
args = parser.parse_args()
trainset = torchvision.datasets.CIFAR10(root="./data", train=True)
net = Tower2()
net = net.to("cuda")
""",
}
"""Factories in one file a family, re-exported with a star, chosen in a script: pytorch-cifar, pytorch-cifar100."""

GPT = """
from dataclasses import dataclass

from torch import nn


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mlp = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x):
        return x + self.mlp(x)


@dataclass
class GPTConfig:
    block_size: int = 64
    vocab_size: int = 100
    n_layer: int = 3
    n_embd: int = 16
    bias: bool = True


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.vocab_size is not None
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(config.vocab_size, config.n_embd),
            wpe=nn.Embedding(config.block_size, config.n_embd),
            h=nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
        ))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, idx, targets=None):
        import torch

        x = self.transformer.wte(idx) + self.transformer.wpe(torch.arange(idx.size(1), device=idx.device))
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(x)
"""
SCRIPT_OF_GLOBALS = {
    "model.py": GPT,
    "train.py": """
import os
from model import GPTConfig, GPT

n_layer = 2
n_embd = 24
block_size = 48
bias = False
exec(open("configurator.py").read())
meta_vocab_size = None
model_args = dict(n_layer=n_layer, n_embd=n_embd, block_size=block_size, bias=bias, vocab_size=None)
if True:
    model_args["vocab_size"] = 50
    gptconf = GPTConfig(**model_args)
    model = GPT(gptconf)
""",
}
"""A dataclass filled from a script's globals through a dict: nanoGPT."""

CONFIG_OF_A_METHOD = {
    "mini/__init__.py": "",
    "mini/utils.py": "class CfgNode:\n    pass\n",
    "mini/model.py": """
from torch import nn
from mini.utils import CfgNode as CN


class Mini(nn.Module):
    @staticmethod
    def get_default_config():
        C = CN()
        C.n_embd = 8
        C.vocab_size = None
        C.block_size = None
        return C

    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.out = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, idx):
        return self.out(self.wte(idx))
""",
    "demo.py": """
from mini.model import Mini

model_config = Mini.get_default_config()
model_config.vocab_size = 30
model_config.block_size = 16
model = Mini(model_config)
""",
}
"""A configuration made by a method, its fields set afterwards: minGPT."""

README_CALLS = {
    "vit/__init__.py": "from vit.vit import ViT\n",
    "vit/vit.py": """
from torch import nn


class Transformer(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, dim) for _ in range(depth)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class ViT(nn.Module):
    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, channels=3):
        super().__init__()
        self.patch = nn.Conv2d(channels, dim, patch_size, patch_size)
        self.transformer = Transformer(dim, depth)
        self.out = nn.Linear(dim, num_classes)

    def forward(self, img):
        return self.out(self.transformer(self.patch(img).flatten(2).transpose(1, 2)).mean(1))
""",
    "README.md": """
## Usage

```python
import torch
from vit import ViT

v = ViT(
    image_size = 64,
    patch_size = 16,
    num_classes = 10,
    dim = 12,
    depth = 2
)

img = torch.randn(1, 3, 64, 64)

preds = v(img) # (1, 10)
```
""",
}
"""Keyword-only arguments that only the README gives: vit-pytorch."""

PARTS_AND_ARGPARSE = {
    "unet/__init__.py": "from .unet_model import UNet\n",
    "unet/unet_parts.py": """
import torch.nn as nn


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.conv(x)
""",
    "unet/unet_model.py": """
from .unet_parts import *


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, bilinear=False):
        super(UNet, self).__init__()
        self.inc = DoubleConv(n_channels, 4)
        self.outc = nn.Conv2d(4, n_classes, 1)

    def forward(self, x):
        return self.outc(self.inc(x))
""",
    "train.py": """
import argparse
from unet import UNet


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--classes', '-c', type=int, default=2, help='Number of classes')
    parser.add_argument('--bilinear', action='store_true', default=False)
    return parser.parse_args()


if __name__ == '__main__':
    args = get_args()
    model = UNet(n_channels=3, n_classes=args.classes, bilinear=args.bilinear)
    model = model.to(memory_format=None)
""",
}
"""Relative imports with a star, a function that parses arguments: Pytorch-UNet."""

MODULE_ALIAS = {
    "densenet.py": CONV_NET.format(
        name="DenseNet3", arguments=", depth, num_classes, growth_rate=12", channels=3, width="growth_rate",
        classes="num_classes",
    ),
    "train.py": """
import argparse
import densenet as dn
import torchvision.datasets as datasets

parser = argparse.ArgumentParser()
parser.add_argument('--layers', default=100, type=int)
parser.add_argument('--growth', default=14, type=int)


def main():
    global args
    args = parser.parse_args()
    datasets.CIFAR10('../data', train=True)
    model = dn.DenseNet3(args.layers, 10, args.growth)
""",
}  # fmt: skip
"""A module under an alias, positional arguments from the command line's defaults: densenet-pytorch, ESRGAN."""

FUNCTION_DEFAULTS = {
    "models/__init__.py": "from .densenet import DenseNet\n",
    "models/densenet.py": CONV_NET.format(
        name="DenseNet", arguments=", growth_rate, num_classes=10, small_inputs=True", channels=3,
        width="growth_rate", classes="num_classes",
    ),
    "demo.py": """
from models import DenseNet
from torchvision import datasets


def demo(data, depth=100, growth_rate=5, seed=None):
    block_config = [(depth - 4) // 6 for _ in range(3)]
    train_set = datasets.CIFAR100(data, train=True)
    model = DenseNet(growth_rate=growth_rate, num_classes=100, small_inputs=True)
""",
}  # fmt: skip
"""Defaults of the function around the call: efficient_densenet_pytorch."""

A_FILE_OF_LAYERS = {
    "config/tiny.cfg": "conv 6\nconv 4\n",
    "models.py": """
from torch import nn


def parse(path):
    return [int(line.split()[1]) for line in open(path)]


class Darknet(nn.Module):
    def __init__(self, config_path, img_size=416):
        super().__init__()
        widths = [3, *parse(config_path)]
        self.layers = nn.Sequential(*[nn.Conv2d(a, b, 1) for a, b in zip(widths, widths[1:])])

    def forward(self, x):
        return self.layers(x)
""",
    "detect.py": """
import argparse
from models import *

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_def", type=str, default="config/tiny.cfg", help="path to model definition file")
    parser.add_argument("--img_size", type=int, default=64, help="size of each image dimension")
    opt = parser.parse_args()
    model = Darknet(opt.model_def, img_size=opt.img_size).to("cpu")
""",
}
"""A network that a text file describes: YOLOv3."""

DICT_OF_NUMBERS = {
    "ch04/gpt.py": """
from torch import nn


class GPTModel(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tok = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.out = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=cfg["qkv_bias"])

    def forward(self, in_idx):
        return self.out(self.tok(in_idx))


def main():
    GPT_CONFIG = {"vocab_size": 40, "context_length": 32, "emb_dim": 6, "drop_rate": 0.1, "qkv_bias": False}
    model = GPTModel(GPT_CONFIG)
    model.eval()


if __name__ == "__main__":
    main()
""",
}
"""A plain dict as configuration: LLMs-from-scratch."""

SAME_NAMES = {
    "mnist/main.py": CONV_NET.format(name="Net", arguments="", channels=1, width=4, classes=10)
    + "\n\ndef main():\n    from torchvision import datasets\n    datasets.MNIST('../data')\n    model = Net()\n",
    "super_resolution/model.py": """
from torch import nn


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.conv = nn.Conv2d(1, upscale_factor ** 2, 3)

    def forward(self, x):
        return self.conv(x)
""",
    "super_resolution/main.py": """
import argparse
from model import Net

parser = argparse.ArgumentParser()
parser.add_argument('--upscale_factor', type=int, required=True)
opt = parser.parse_args()
model = Net(upscale_factor=opt.upscale_factor).to("cpu")
""",
}
"""Many folders, each with a Net: pytorch/examples. One argument is required of whoever calls it."""

UNREADABLE = {
    "pygcn/__init__.py": "",
    "pygcn/models.py": """
import torch.nn as nn


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super().__init__()
        self.gc1 = nn.Linear(nfeat, nhid)
        self.gc2 = nn.Linear(nhid, nclass)

    def forward(self, x):
        return self.gc2(self.gc1(x))
""",
    "pygcn/train.py": """
import argparse
from pygcn.models import GCN

parser = argparse.ArgumentParser()
parser.add_argument('--hidden', type=int, default=16)
parser.add_argument('--dropout', type=float, default=0.5)
args = parser.parse_args()
adj, features, labels = load_data()
model = GCN(nfeat=features.shape[1], nhid=args.hidden, nclass=labels.max().item() + 1, dropout=args.dropout)
""",
}
"""Arguments that only the data tells: pygcn."""

BOTH_IN_JSON = {
    "env.py": """
class AttrDict(dict):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.__dict__ = self
""",
    "config_v1.json": '{"channels": 8}',
    "models.py": """
from torch import nn


class Generator(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.pre = nn.Conv1d(80, h.channels, 7)

    def forward(self, x):
        return self.pre(x)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 5)

    def forward(self, x):
        return self.conv(x)
""",
    "train.py": """
import json
from env import AttrDict
from models import Generator, Scale

data = open("config_v1.json").read()
h = AttrDict(json.loads(data))
generator = Generator(h)
disc = Scale()
""",
}
"""A configuration in JSON: hifi-gan."""

LIGHTNING = {
    "lit.py": """
import torch
from torch import nn
import pytorch_lightning as pl
from net import Encoder


class Lit(pl.LightningModule):
    def __init__(self, width=4):
        super().__init__()
        self.encoder = Encoder(width)
        self.example_input_array = torch.zeros(1, 1, 20, 20)
""",
    "net.py": CONV_NET.format(name="Encoder", arguments=", width", channels=1, width="width", classes=2),
}
"""A Lightning module around a part, where Lightning is not installed: the part stands in."""

REGISTRY = {
    "registry.py": "def register_model(maker):\n    return maker\n",
    "models/conv.py": CONV_NET.format(
        name="Conv", arguments=", dims=(3, 6), num_classes=1000", channels=3, width="dims[0]", classes="num_classes"
    )
    + """
from registry import register_model


@register_model
def conv_tiny(pretrained=False, in_22k=False, **kwargs):
    model = Conv(dims=[3, 6], **kwargs)
    if pretrained:
        import torch

        model.load_state_dict(torch.hub.load_state_dict_from_url("https://weights.test"))
    return model


@register_model
def conv_base(pretrained=False, in_22k=False, **kwargs):
    model = Conv(dims=[6, 12], **kwargs)
    return model
""",
    "datasets.py": """
from torchvision import datasets, transforms


def build(args):
    transforms.Compose([transforms.RandomResizedCrop(224)])
    return datasets.ImageFolder(args.data)
""",
}
"""Registered factories that take anything: ConvNeXt."""

CASES: dict[str, tuple[dict[str, str], dict[str, tuple[str, dict[str, Any], Any, int]]]] = {
    "a zoo of files": (ZOO_OF_FILES, {
        # stem 3x3 3 to 8, two or three steps 3x3 8 to 8, 8 to 10; all with biases
        "tower2": ("models.tower:Tower2", {}, [1, 3, 32, 32], 224 + 2 * 584 + 90),
        "tower3": ("models.tower:Tower3", {}, None, 224 + 3 * 584 + 90),
        "spire": ("models.spire:Spire", {}, None, 168 + 70),
    }),
    "a script of globals": (SCRIPT_OF_GLOBALS, {
        "gpt": ("model.py:GPT", {"config": {
            "from": "model.py:GPTConfig", "n_layer": 2, "n_embd": 24, "block_size": 48, "bias": False, "vocab_size": 50,
        }}, "1,48:int64", 2 * 50 * 24 + 48 * 24 + 2 * 24 * 24),
    }),
    "a configuration of a method": (CONFIG_OF_A_METHOD, {
        "mini": ("mini.model:Mini", {"config": {
            "from": "mini.model:Mini.get_default_config", "vocab_size": 30, "block_size": 16,
        }}, "1,16:int64", 30 * 8 + 8 * 30 + 30),
    }),
    "calls in the README": (README_CALLS, {
        "vi_t": ("vit.vit:ViT", {"image_size": 64, "patch_size": 16, "num_classes": 10, "dim": 12, "depth": 2},
                 [1, 3, 64, 64], 16 * 16 * 3 * 12 + 12 + 2 * 156 + 130),
    }),
    "parts and argparse": (PARTS_AND_ARGPARSE, {
        "unet": ("unet.unet_model:UNet", {"n_channels": 3, "n_classes": 2, "bilinear": False}, None, 112 + 10),
    }),
    "a module's alias": (MODULE_ALIAS, {
        "dense_net3": ("densenet.py:DenseNet3", {"depth": 100, "num_classes": 10, "growth_rate": 14}, [1, 3, 32, 32],
                       28 * 14 + 15 * 10),
    }),
    "defaults of a function": (FUNCTION_DEFAULTS, {
        "dense_net": ("models.densenet:DenseNet", {"growth_rate": 5, "num_classes": 100, "small_inputs": True},
                      [1, 3, 32, 32], 28 * 5 + 600),
    }),
    "a file of layers": (A_FILE_OF_LAYERS, {
        "darknet": ("models.py:Darknet", {"config_path": "config/tiny.cfg", "img_size": 64}, [1, 3, 64, 64], 24 + 28),
    }),
    "a dict of numbers": (DICT_OF_NUMBERS, {
        "gptmodel": ("ch04/gpt.py:GPTModel", {"cfg": {
            "vocab_size": 40, "context_length": 32, "emb_dim": 6, "drop_rate": 0.1, "qkv_bias": False,
        }}, "1,32:int64", 480),
    }),
    "many of one name": (SAME_NAMES, {"mnist_main": ("mnist/main.py:Net", {}, [1, 1, 28, 28], 40 + 50)}),
    "a configuration in JSON": (BOTH_IN_JSON, {"scale": ("models.py:Scale", {}, None, 24)}),
    "Lightning without Lightning": (LIGHTNING, {"encoder": ("net.py:Encoder", {"width": 4}, None, 40 + 10)}),
    "a registry": (REGISTRY, {
        "conv_tiny": ("models/conv.py:conv_tiny", {}, [1, 3, 224, 224], 28 * 3 + 4000),
        "conv_base": ("models/conv.py:conv_base", {}, [1, 3, 224, 224], 28 * 6 + 7000),
    }),
    "what data alone tells": (UNREADABLE, {}),
}  # fmt: skip


def made(tmp_path: Path, files: dict[str, str]) -> Project:
    project = Project(tmp_path / "repository", example=False)
    for name, text in files.items():
        project.write(name, text)
    return project


@pytest.mark.parametrize("name", CASES)
def test_a_first_lock_in_a_repository_as_it_is_found(tmp_path: Path, name: str) -> None:
    files, expected = CASES[name]
    project = made(tmp_path, files)
    done = project.run("init")
    assert done.returncode == 0, done.stderr
    models = tomllib.loads(project.read("analyzer.toml")).get("models", {})
    found = {
        key: (said["target"], said.get("kwargs", {}), said["input"] if expected.get(key, (0, 0, 0))[2] else None)
        for key, said in models.items()
    }
    assert found == {key: row[:3] for key, row in expected.items()}
    if expected:
        code, verdict = project.check()
        assert code == 0
        params = {m["name"]: f["value"] for m in verdict["models"] for f in m["figures"] if f["figure"] == "params"}
        assert params == {key: row[3] for key, row in expected.items()}


@pytest.mark.parametrize("name", CASES)
def test_reading_alone_never_fails_and_runs_nothing(tmp_path: Path, name: str) -> None:
    files, expected = CASES[name]
    project = made(
        tmp_path,
        {path: text + "\nopen('ran', 'w')\n" if path.endswith(".py") else text for path, text in files.items()},
    )
    done = project.run("init", "--no-build")
    assert done.returncode == 0, done.stderr
    assert not (project.folder / "ran").exists()
    models = tomllib.loads(project.read("analyzer.toml")).get("models", {})
    assert ({"lit"} if "Lightning" in name else expected.keys()) <= models.keys()


def test_what_can_not_be_completed_is_a_skeleton_with_the_missing_word_marked(tmp_path: Path) -> None:
    project = made(tmp_path, UNREADABLE)
    assert project.run("init").returncode == 0
    text = project.read("analyzer.toml")
    assert "# kwargs = { nhid = 16, dropout = 0.5, nfeat = ???, nclass = ??? }" in text
    start = text.index("# [models.gcn]")
    filled = text[start:].replace("# ", "").replace("nfeat = ???", "nfeat = 20").replace("nclass = ???", "nclass = 7")
    project.write("analyzer.toml", filled)
    assert project.run("lock").returncode == 0
    assert project.check()[0] == 0


def test_the_argument_that_is_required_of_the_caller_is_marked(tmp_path: Path) -> None:
    project = made(tmp_path, SAME_NAMES)
    project.run("init")
    assert "# kwargs = { upscale_factor = ??? }" in project.read("analyzer.toml")


def test_models_of_other_packages_are_read_from_scripts(tmp_path: Path) -> None:
    project = made(tmp_path, {"train.py": """
import timm
from torchvision.models import resnet18
from transformers import GPT2Config, GPT2LMHeadModel
from torchvision import datasets

datasets.CIFAR10(".")
model = timm.create_model("convnext_tiny", pretrained=True, num_classes=7)
other = resnet18(weights=None, num_classes=4)
third = GPT2LMHeadModel(GPT2Config(n_layer=2, n_positions=64))
"""})  # fmt: skip
    assert project.run("init", "--no-build").returncode == 0
    models = tomllib.loads(project.read("analyzer.toml"))["models"]
    assert {(said["target"], str(said["kwargs"])) for said in models.values()} == {
        ("timm:create_model", "{'model_name': 'convnext_tiny', 'num_classes': 7}"),
        ("torchvision.models:resnet18", "{'num_classes': 4}"),
        ("transformers:GPT2LMHeadModel",
         "{'config': {'from': 'transformers:GPT2Config', 'n_layer': 2, 'n_positions': 64}}"),
    }  # fmt: skip
