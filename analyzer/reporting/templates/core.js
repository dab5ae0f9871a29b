// Reading the embedded data, numbers to text, building elements. Names are only ever set as text, never as markup.
const byId = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null).map((child) => (child.nodeType ? child : visible(child))));
  return node;
}
// Characters that are not seen, or that reorder what stands beside them, are written out.
function visible(text) {
  const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  return String(text).replace(unseen, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Draws again when an element's width has changed.
function onWidth(element, draw) {
  if (typeof ResizeObserver === 'undefined') return;
  let width = element.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(element.clientWidth - width) < 2) return;
    width = element.clientWidth;
    draw();
  }).observe(element);
}

// The text that a `report-data` or `plotly-js` element holds: base64 of gzip.
async function inflate(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

// -- the report's rows, kept as columns ---------------------------------------------------------------------------
let report = null;
const columns = new Map();

// By its path in a record, `measured.ratio`: stored as it is, or a part of what is.
function column(path) {
  if (!columns.has(path)) columns.set(path, path in report.columns || !path.includes('.') ? stored(path) : part(path));
  return columns.get(path);
}
function stored(name) {
  const { each, all, most, but } = report.columns[name] ?? {};
  const values = each ?? new Array(report.total).fill(all ?? most ?? null);
  for (const [i, value] of Object.entries(but ?? {})) values[i] = value;
  return values;
}
function part(path) {
  const variant = path.replace('target.variant.', 'variant.'); // the fields of regular variants are columns
  if (variant in report.columns) return column(variant);
  const at = path.lastIndexOf('.');
  return column(path.slice(0, at)).map((whole) => whole?.[path.slice(at + 1)] ?? null);
}
const variantOf = (i, field) => column(`target.variant.${field}`)[i];
const nameOf = (i) => column('target.name')[i];
const shownOf = (i) => column('target.label')[i] || nameOf(i);
let paths = new Map(); // of the flat row's columns, by name
const valueOf = (i, name) => column(paths.get(name) ?? name)[i];
// Digits in full: numbers beyond 2^53 are kept as text beside the columns.
const digitsOf = (i, figure) => report.view.huge[figure]?.[i] ?? String(valueOf(i, figure) ?? '');

// -- text, as the rest of the page writes it ----------------------------------------------------------------------
const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
const decimals = (value, n) => value.toLocaleString('en-US', { minimumFractionDigits: n, maximumFractionDigits: n });
function mibText(bytes) {
  const mib = bytes / 2 ** 20;
  return `${mib >= 1 || bytes === 0 ? decimals(mib, 2) : Number(mib.toPrecision(3))} MiB`;
}
const secondsText = (value) => (value < 1 ? `${(value * 1000).toFixed(2)} ms` : `${value.toFixed(2)} s`);
function figureText(i, figure) {
  const value = valueOf(i, figure.name);
  if (value === null) return '–';
  if (figure.unit === 'count') return grouped(digitsOf(i, figure.name));
  return figure.unit === 'rate' ? `${decimals(value, 1)} images/s` : shortText(value, figure.unit);
}
function timesText(value, base) {
  if (value === null || !base) return '–';
  const ratio = value / base;
  return `${ratio >= 0.1 ? ratio.toFixed(2) : Number(ratio.toPrecision(3))}×`;
}
function fieldText(value) {
  if (value === null || value === undefined) return '–';
  return Array.isArray(value) ? value.join(',') : String(value);
}
function shortText(value, unit) {
  if (unit === 'bytes') return mibText(value);
  if (unit === 'seconds') return secondsText(value);
  if (unit === 'ratio') return timesText(value, 1);
  if (unit === 'rate') return decimals(value, 1);
  if (unit === 'share') return `${decimals(100 * value, 1)} %`;
  if (unit === 'points') return `${decimals(value, 1).replace('-', '−')} points`;
  for (const [power, suffix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (value >= power) return `${(value / power).toFixed(2)} ${suffix}`;
  }
  return String(value);
}

// -- taking data away ---------------------------------------------------------------------------------------------
function csvCell(value) {
  let text = value === null || value === undefined ? '' : String(value);
  if (typeof value === 'string' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`; // a spreadsheet would run it
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
const csvText = (rows) => rows.map((row) => row.map(csvCell).join(',')).join('\n') + '\n';

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// A header cell's text becomes a button; `act` gets the direction that it now asks for.
function sortable(cell, first, act) {
  const words = cell.textContent;
  const button = h('button', { type: 'button' }, words);
  button.addEventListener('click', () => {
    const next = cell.getAttribute('aria-sort') === first ? (first === 'descending' ? 'ascending' : 'descending') : first;
    for (const other of cell.parentNode.children) other.removeAttribute('aria-sort');
    cell.setAttribute('aria-sort', next);
    act(next);
  });
  cell.replaceChildren(button);
}
