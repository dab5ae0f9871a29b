// The rows of the sweep: which are chosen (by words, fields, brushes), and their table, sorted and in pages.
const PAGE = 50;
const rowsState = { find: '', fields: {}, brushes: new Map(), front: false, within: false, sort: null, page: 0, off: new Set() };
let good = []; // numbers of the rows that have figures
let chosen = []; // those of them that pass every filter, in the table's order
let frontRows = new Set();
const followers = []; // called after every change of `chosen`

function budgetOf(i) {
  if (!report.limits.length) return 'none';
  const states = report.limits.map((limit) => {
    const value = valueOf(i, limit.figure);
    if (value === null) return 'unknown';
    return (limit.side === 'most' ? value <= limit.bound : value >= limit.bound) ? 'within' : 'over';
  });
  return ['over', 'unknown', 'within'].find((state) => states.includes(state));
}
function marksOf(i) {
  return [i === report.subject && 'subject', i === report.baseline && 'baseline', frontRows.has(i) && 'front'].filter(Boolean).join(', ');
}
function passes(i) {
  const state = rowsState;
  if (state.front && !frontRows.has(i)) return false;
  if (state.within && budgetOf(i) !== 'within') return false;
  if (state.find && !`${nameOf(i)} ${shownOf(i)} ${marksOf(i)}`.toLowerCase().includes(state.find)) return false;
  for (const [field, text] of Object.entries(state.fields)) if (text && fieldText(variantOf(i, field)) !== text) return false;
  for (const test of state.brushes.values()) if (!test(i)) return false;
  return true;
}
function choose() {
  chosen = good.filter(passes);
  if (rowsState.sort) chosen.sort(rowsState.sort);
  rowsState.page = 0;
  drawRows();
  for (const follow of followers) follow();
}

function drawRows() {
  const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
  const { page } = rowsState;
  const table = byId('variant-table');
  const off = [...table.tHead.rows[0].cells].map((cell) => rowsState.off.has(cell.dataset.column));
  [...table.tHead.rows[0].cells].forEach((cell, k) => { cell.hidden = off[k]; });
  const cells = (i) => [h('th', { scope: 'row', title: nameOf(i) }, shownOf(i)), h('td', {}, report.view.states[budgetOf(i)]), h('td', {}, marksOf(i)),
    ...report.view.fields.map((field) => h('td', { class: 'n' }, fieldText(variantOf(i, field.name)))),
    ...report.view.figures.flatMap((figure) => [h('td', { class: 'n' }, figureText(i, figure)),
      h('td', { class: 'n' }, figure.compared ? timesText(valueOf(i, figure.name), valueOf(report.baseline, figure.name)) : '–')])];
  const lines = chosen.slice(page * PAGE, (page + 1) * PAGE).map((i) => h('tr', {}, ...cells(i).filter((_, k) => !off[k])));
  table.tBodies[0].replaceChildren(...lines);
  const count = (n) => n.toLocaleString('en-US');
  byId('variant-said').textContent = chosen.length === 0 ? 'Nothing matches' : `${count(chosen.length)} of ${count(good.length)} rows`
    + (pages > 1 ? `, page ${count(page + 1)} of ${count(pages)}` : '');
  const bar = byId('variant-pages');
  bar.hidden = pages < 2;
  const go = (label, to) => h('button', { type: 'button', disabled: to < 0 || to >= pages, on: { click: () => { rowsState.page = to; drawRows(); } } }, label);
  bar.replaceChildren(go('First', page ? 0 : -1), go('Previous', page - 1), go('Next', page + 1), go('Last', page < pages - 1 ? pages - 1 : pages));
}

// Numbers before words, each in order.
function inOrder(a, b) {
  const numbers = [a, b].map((v) => (typeof v === 'number' ? v : Array.isArray(v) ? v[0] : NaN));
  if (numbers.every((n) => !Number.isNaN(n)) && numbers[0] !== numbers[1]) return numbers[0] - numbers[1];
  if (Number.isNaN(numbers[0]) !== Number.isNaN(numbers[1])) return Number.isNaN(numbers[0]) ? 1 : -1;
  return fieldText(a) < fieldText(b) ? -1 : fieldText(a) > fieldText(b) ? 1 : 0;
}
// The texts of a field's values, in the order of the values.
function fieldValues(field) {
  const values = new Map(good.map((i) => [fieldText(variantOf(i, field)), variantOf(i, field)]));
  return [...values].sort((a, b) => inOrder(a[1], b[1])).map(([text]) => text);
}

// Which columns the table has; on a narrow screen the multiples of the baseline are left out at first.
function chooseColumns(table, tools) {
  const columns = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.column);
  if (window.innerWidth < 640) for (const cell of columns) if (cell.dataset.column.endsWith('×')) rowsState.off.add(cell.dataset.column);
  const box = (cell) => h('label', {}, h('input', { type: 'checkbox', checked: !rowsState.off.has(cell.dataset.column), on: { change: (e) => {
    rowsState.off[e.target.checked ? 'delete' : 'add'](cell.dataset.column);
    drawRows();
  } } }), ` ${cell.title || cell.textContent}`);
  tools.append(h('details', { id: 'variant-columns' }, h('summary', {}, 'Columns'), h('div', { class: 'tools' }, ...columns.map(box))));
}

function setUpVariants() {
  const table = byId('variant-table');
  if (!table) return;
  const tools = byId('variant-tools');
  tools.append(h('label', {}, 'Find ', h('input', { type: 'search', id: 'variant-find', on: { input: (e) => { rowsState.find = e.target.value.trim().toLowerCase(); choose(); } } })));
  for (const field of report.view.fields) {
    const values = fieldValues(field.name);
    if (values.length > 60) continue;
    const select = h('select', { 'data-field': field.name, on: { change: (e) => { rowsState.fields[field.name] = e.target.value; choose(); } } },
      h('option', { value: '' }, 'any'), ...values.map((text) => h('option', { value: text }, text)));
    tools.append(h('label', {}, `${field.label} `, select));
  }
  const box = (label, key) => h('label', {}, h('input', { type: 'checkbox', id: `variant-${key}`, on: { change: (e) => { rowsState[key] = e.target.checked; choose(); } } }), ` ${label}`);
  if (report.limits.length) tools.append(box(report.compared ? report.view.states.within : 'within budget', 'within'));
  tools.append(box('on the front', 'front'));

  chooseColumns(table, tools);

  const keys = [(i) => shownOf(i), (i) => budgetOf(i), (i) => marksOf(i), ...report.view.fields.map((f) => (i) => variantOf(i, f.name)),
    ...report.view.figures.flatMap((f) => [(i) => valueOf(i, f.name), (i) => valueOf(i, f.name)])];
  [...table.tHead.rows[0].cells].forEach((cell, k) => sortable(cell, 'ascending', (direction) => {
    const sign = direction === 'descending' ? -1 : 1;
    rowsState.sort = (a, b) => {
      const [x, y] = [keys[k](a), keys[k](b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b; // unknown ones last, either way
      return sign * inOrder(x, y) || a - b;
    };
    choose();
  }));
  choose();
}
