// What the page does once it stands. Without DecompressionStream everything but the layer table stays static.
function setUpDownloads(text) {
  const { columns: flat } = report.view; // the same as in results.csv
  byId('get-json')?.addEventListener('click', () => download('report.json', 'application/json', text));
  byId('get-csv')?.addEventListener('click', () => {
    const cell = (i, name) => {
      const value = valueOf(i, name);
      if (Array.isArray(value)) return value.join('-');
      return Number.isInteger(value) ? BigInt(digitsOf(i, name)) : value;
    };
    const rows = Array.from({ length: report.rows }, (_, i) => [...flat.map(({ name }) => cell(i, name)), marksOf(i)]);
    download('report.csv', 'text/csv', csvText([[...flat.map(({ name }) => name), 'is'], ...rows]));
  });
}

function setUpCopying() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll('button.copy')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(button.parentNode.querySelector('code').textContent);
      button.textContent = 'Copied';
    });
  }
}

async function start() {
  window.addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((part) => { part.open = true; }));
  for (const tools of document.querySelectorAll('#layers .js, #where .js')) tools.hidden = false;
  setUpLayers();
  setUpTree();
  setUpCopying();
  if (typeof DecompressionStream === 'undefined') return;
  const text = await inflate('report-data');
  report = JSON.parse(text);
  paths = new Map(report.view.columns.map(({ name, path }) => [name, path]));
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
// Once the page is seen: nothing above needs the script.
requestAnimationFrame(() => setTimeout(start));
