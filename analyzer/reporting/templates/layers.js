// The layer table as an ARIA treegrid: open and close, find, sort among siblings, keys, copy as CSV.
function setUpLayers() {
  const table = byId('layer-table');
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({
    row, level: Number(row.dataset.level), children: [], parent: null, open: true,
    path: row.dataset.path.toLowerCase(), kind: row.cells[1].textContent.toLowerCase(), name: row.cells[0].dataset.name,
    values: [...row.querySelectorAll('td[data-v]')].map((cell) => (cell.dataset.v === '' ? null : Number(cell.dataset.v))),
  }));
  const trail = [];
  for (const item of rows) {
    trail.length = item.level;
    item.parent = trail[item.level - 1] ?? null;
    item.parent?.children.push(item);
    trail.push(item);
  }
  const of = new Map(rows.map((item) => [item.row, item]));
  let order = rows;
  let find = '';

  table.setAttribute('role', 'treegrid');
  for (const item of rows) {
    item.row.setAttribute('aria-level', item.level + 1);
    item.row.tabIndex = -1;
    if (item.children.length) {
      item.toggle = h('span', { class: 'toggle', 'aria-hidden': 'true' });
      item.row.cells[0].prepend(item.toggle);
    }
  }
  rows[0].row.tabIndex = 0;

  // Rows whose path has the words; only where none has, those whose type does.
  function found() {
    const byPath = rows.filter((item) => item.path.includes(find));
    return new Set(byPath.length ? byPath : rows.filter((item) => item.kind.includes(find)));
  }
  function mark(item, hit) {
    const cell = item.row.cells[0];
    const from = hit ? item.name.toLowerCase().indexOf(find) : -1;
    const parts = from < 0 ? [hit ? h('mark', {}, item.name) : visible(item.name)]
      : [visible(item.name.slice(0, from)), h('mark', {}, item.name.slice(from, from + find.length)), visible(item.name.slice(from + find.length))];
    cell.replaceChildren(...(item.toggle ? [item.toggle] : []), ...parts);
  }
  function draw() {
    const shown = new Set();
    const hits = find ? found() : new Set();
    for (const item of rows) {
      if (item.marked || hits.has(item)) mark(item, hits.has(item));
      item.marked = hits.has(item);
      if (find && !hits.has(item)) continue;
      let above = item.parent;
      let visible = true;
      for (; above; above = above.parent) visible &&= find !== '' || above.open;
      if (!visible) continue;
      for (above = item; above; above = above.parent) shown.add(above);
    }
    for (const item of rows) {
      item.row.hidden = !shown.has(item);
      if (!item.toggle) continue;
      const open = find ? item.children.some((child) => shown.has(child)) : item.open;
      item.row.setAttribute('aria-expanded', open);
      item.toggle.textContent = open ? '▾' : '▸';
    }
    byId('layer-said').textContent = find && !hits.size ? 'Nothing matches' : find ? `${hits.size.toLocaleString('en-US')} found` : `${shown.size.toLocaleString('en-US')} of ${rows.length.toLocaleString('en-US')} rows`;
  }
  function focus(item) {
    for (const other of body.querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
    item.row.tabIndex = 0;
    item.row.focus();
  }
  function setOpen(item, open) {
    item.open = open;
    draw();
  }

  body.addEventListener('click', (event) => {
    const item = of.get(event.target.closest('tr'));
    if (!item) return;
    if (event.target === item.toggle) setOpen(item, !item.open);
    focus(item);
  });
  body.addEventListener('keydown', (event) => {
    const item = of.get(event.target.closest('tr'));
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const visible = order.filter((other) => !other.row.hidden);
    const at = visible.indexOf(item);
    const moves = {
      ArrowDown: () => visible[at + 1] && focus(visible[at + 1]),
      ArrowUp: () => visible[at - 1] && focus(visible[at - 1]),
      Home: () => focus(visible[0]),
      End: () => focus(visible.at(-1)),
      ArrowRight: () => (item.children.length && !item.open ? setOpen(item, true) : item.children[0] && focus(order[order.indexOf(item) + 1])),
      ArrowLeft: () => (item.children.length && item.open ? setOpen(item, false) : item.parent && focus(item.parent)),
      Enter: () => item.children.length && setOpen(item, !item.open),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });

  function sortBy(key, direction) {
    const sign = direction === 'descending' ? -1 : 1;
    const place = new Map(rows.map((item, i) => [item, i]));
    const compare = (a, b) => (key === 'order' ? sign * (place.get(a) - place.get(b))
      : sign * ((a.values[key] ?? -1) - (b.values[key] ?? -1)) || place.get(a) - place.get(b));
    order = [];
    const walk = (item) => {
      order.push(item);
      [...item.children].sort(compare).forEach(walk);
    };
    rows.filter((item) => !item.parent).forEach(walk);
    body.append(...order.map((item) => item.row));
  }
  for (const cell of table.tHead.querySelectorAll('[data-sort]')) {
    const key = cell.dataset.sort === 'order' ? 'order' : Number(cell.dataset.sort);
    sortable(cell, key === 'order' ? 'ascending' : 'descending', (direction) => sortBy(key, direction));
  }

  byId('layer-find').addEventListener('input', (event) => {
    find = event.target.value.trim().toLowerCase();
    draw();
  });
  function openTo(depth) {
    for (const item of rows) item.open = item.level < depth;
    draw();
  }
  byId('layer-depth').addEventListener('change', (event) => openTo(Number(event.target.value)));
  byId('layer-copy').addEventListener('click', async () => {
    const heads = ['path', 'type', 'output', ...[...table.tHead.querySelectorAll('[data-figure]')].map((cell) => cell.dataset.figure)];
    const lines = rows.map((item) => [item.row.dataset.path, item.row.cells[1].textContent, item.row.cells[2].textContent,
      ...[...item.row.querySelectorAll('td[data-v]')].map((cell) => (cell.dataset.v === '' ? null : BigInt(cell.dataset.v)))]);
    await navigator.clipboard.writeText(csvText([heads, ...lines]));
    byId('layer-said').textContent = `${rows.length} rows copied`;
  });

  function follow() {
    const row = location.hash.startsWith('#layer-') ? byId(location.hash.slice(1)) : null;
    const item = of.get(row);
    for (const other of body.querySelectorAll('.here')) other.classList.remove('here');
    if (!item) return;
    byId('layer-find').value = find = '';
    for (let above = item.parent; above; above = above.parent) above.open = true;
    draw();
    item.row.classList.add('here');
    item.row.scrollIntoView({ block: 'center' });
    focus(item);
  }
  openTo(Number(byId('layer-depth').value));
  window.addEventListener('hashchange', follow);
  follow();
}
