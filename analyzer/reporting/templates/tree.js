// The module tree, drawn anew for its width, and opened module by module: in place of the page's own drawing of it.
const TREE = { height: 470, labelled: 15, least: 112, tints: 6 };

// From the rows of the layer table: path, name and figures of every module, the whole first.
function moduleTree() {
  const nodes = new Map();
  for (const row of byId('layer-table').tBodies[0].rows) {
    const { path } = row.dataset;
    const values = [...row.querySelectorAll('td[data-v]')].map((cell) => Number(cell.dataset.v));
    const node = { path, name: row.cells[0].dataset.name, id: row.id, values, texts: [...row.querySelectorAll('td[data-v]')].map((cell) => cell.textContent), children: [], parent: null };
    const above = path.includes('.') ? path.slice(0, path.lastIndexOf('.')) : '';
    node.parent = path === '' ? null : nodes.get(above) ?? nodes.get('');
    node.parent?.children.push(node);
    nodes.set(path, node);
  }
  return nodes.get('');
}

function setUpTree() {
  const place = byId('where');
  if (!place || !byId('layer-table')) return;
  const whole = moduleTree();
  const names = [...byId('layer-table').tHead.querySelectorAll('[data-figure]')].map((cell) => cell.dataset.figure);
  const panels = [...place.querySelectorAll('figure[data-figure]')].map((figure) => ({ figure, k: names.indexOf(figure.dataset.figure), label: figure.dataset.label }));
  let top = whole;
  let width = 0;

  // Levels with a single child that can be seen are one.
  function folded(node, k, tall) {
    const way = [node.name];
    for (;;) {
      const seen = node.children.filter((child) => tall(child) >= 0.7);
      if (seen.length !== 1 || !seen[0].children.length || seen[0].values[k] < 0.995 * node.values[k]) return [node, way];
      [node] = seen;
      way.push(node.name);
    }
  }
  function block(node, way, k, box, tint) {
    const [x, y, w, tall] = box;
    const share = `${decimals((100 * node.values[k]) / (whole.values[k] || 1), 1)} %`;
    const told = `${node.path || node.name}: ${node.texts[k]}, ${share}`;
    const rect = s('rect', { x, y, width: w - 1, height: Math.max(tall - 0.6, 0.6), class: `tint${tint}` }, s('title', {}, told));
    if (tall < TREE.labelled) return rect;
    const oneLine = tall < 34 || w > 162;
    const most = Math.max(Math.floor((w - (oneLine ? 62 : 12)) / 7.4), 2);
    const words = way.join(' › ');
    const shown = words.length > most ? `${words.slice(0, most - 1)}…` : words;
    const middle = y + Math.min(tall / 2, 40) + 4.5;
    const lines = oneLine ? [[middle, `${shown} ${share}`]] : [[middle - 8, shown], [middle + 8, share]];
    const opens = node.children.length > 0 && node !== top;
    return s('a', { href: `#${node.id}`, 'aria-label': `${told}${opens ? ', open' : ''}`, on: { click: (event) => {
      if (!opens) return;
      event.preventDefault();
      top = node;
      draw();
      crumbs.querySelector('button:last-of-type')?.focus();
    } } }, rect, ...lines.map(([at, text]) => s('text', { x: x + 6, y: at }, text)));
  }
  function drawn({ k, label }) {
    const sum = top.values[k] || 1;
    const tall = (node) => (TREE.height * node.values[k]) / sum;
    const depth = (node) => 1 + Math.max(0, ...folded(node, k, tall)[0].children.filter((child) => tall(child) >= 0.7).map(depth));
    const columns = Math.max(1, Math.min(depth(top), Math.floor(width / TREE.least)));
    const parts = [];
    (function put(node, level, y, tint) {
      if (tall(node) < 0.7 || level >= columns) return;
      const [inner, way] = folded(node, k, tall);
      parts.push(block(node, way, k, [(level * width) / columns, y, width / columns, tall(node)], tint));
      let at = y;
      inner.children.forEach((child, i) => {
        put(child, level + 1, at, level === 0 ? 1 + (i % TREE.tints) : tint);
        at += tall(child);
      });
    }(top, 0, 0, 0));
    return s('svg', { viewBox: `0 0 ${width} ${TREE.height}`, role: 'group', 'aria-label': `${top.path || top.name}: ${label} by module` }, ...parts);
  }
  const crumbs = h('p', { class: 'tools', id: 'tree-way' });
  panels[0]?.figure.parentNode.before(crumbs);

  function draw() {
    if (!place.clientWidth) return; // not laid out, as in what is folded away: drawn once it is
    width = Math.round(place.clientWidth);
    for (const panel of panels) {
      for (const old of panel.figure.querySelectorAll('div')) old.remove();
      panel.figure.prepend(h('div', {}, drawn(panel)));
    }
    const way = [];
    for (let node = top; node; node = node.parent) way.unshift(node);
    crumbs.replaceChildren('Shown: ', ...way.map((node) => h('button', { type: 'button', 'aria-current': node === top ? 'true' : null, on: { click: () => { top = node; draw(); } } }, node.name)),
      ...(top === whole ? [] : [h('a', { href: `#${top.id}` }, 'in the layer table')]));
  }
  draw();
  onWidth(place, draw);
}
