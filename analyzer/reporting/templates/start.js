// What the page does once it stands. Without DecompressionStream everything but the layer table stays static.
function setUpDownloads(text) {
  const figures = ['params', 'macs', 'flops', 'conv_activations', 'saved_bytes', 'peak_training_bytes', 'peak_inference_bytes', 'measured_images_per_s'];
  byId('get-json')?.addEventListener('click', () => download('report.json', 'application/json', text));
  byId('get-csv')?.addEventListener('click', () => {
    const fields = Object.keys(report.columns).filter((name) => name.startsWith('variant.'));
    const rows = Array.from({ length: report.rows }, (_, i) => [nameOf(i), column('target.label')[i], marksOf(i),
      ...fields.map((name) => (Array.isArray(column(name)[i]) ? column(name)[i].join('-') : column(name)[i])),
      ...figures.map((name) => (valueOf(i, name) === null ? null : Number.isInteger(valueOf(i, name)) ? BigInt(digitsOf(i, name)) : valueOf(i, name))),
      column('error')[i]?.what ?? null]);
    download('report.csv', 'text/csv', csvText([['name', 'label', 'is', ...fields.map((name) => name.slice(8)), ...figures, 'error'], ...rows]));
  });
}

async function start() {
  window.addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((part) => { part.open = true; }));
  for (const tools of document.querySelectorAll('#layers .js')) tools.hidden = false;
  setUpLayers();
  if (typeof DecompressionStream === 'undefined') return;
  const text = await inflate('report-data');
  report = JSON.parse(text);
  const failed = column('error');
  good = Array.from({ length: report.rows }, (_, i) => i).filter((i) => failed[i] === null);
  const names = new Set(report.front);
  frontRows = new Set(good.filter((i) => names.has(nameOf(i))));
  for (const tools of document.querySelectorAll('#variant-tools, #heat-tools, #methods .js')) tools.hidden = false;
  for (const note of document.querySelectorAll('.nojs')) note.hidden = true;
  setUpVariants();
  setUpParallel();
  setUpHeat();
  setUpPareto();
  setUpDownloads(text);
  document.documentElement.dataset.ready = 'yes';
}
start();
