// The heat map of any two fields: in a cell the least (or greatest, where more is better) value of the chosen rows.
function setUpHeat() {
  const place = byId('heat-map');
  if (!place) return;
  const fields = report.view.fields.filter((field) => fieldValues(field.name).length > 1 && fieldValues(field.name).length <= 60);
  if (fields.length < 2) return;
  const captions = [...place.querySelectorAll('caption')].map((c) => c.textContent)[0] ?? '';
  const named = (word) => fields.find((field) => captions.includes(`${field.label} (${word})`));
  let [down, across, figure] = [named('down') ?? fields[0], named('across') ?? fields[1], report.view.figures[0]];
  let touched = false; // until then the page's own map stands: the subject's neighbours

  function draw() {
    if (!touched) return;
    const cells = new Map();
    for (const i of chosen) {
      const value = valueOf(i, figure.name);
      if (!(value > 0)) continue;
      const key = JSON.stringify([fieldText(variantOf(i, down.name)), fieldText(variantOf(i, across.name))]);
      const cell = cells.get(key) ?? { value, row: i, count: 0 };
      if (figure.better === 'more' ? value > cell.value : value < cell.value) Object.assign(cell, { value, row: i });
      cell.count += 1;
      cells.set(key, cell);
    }
    const logs = [...cells.values()].map((cell) => Math.log(cell.value));
    const [low, high] = [Math.min(...logs), Math.max(...logs)];
    const shade = (value) => (high > low ? Math.round(((Math.log(value) - low) / (high - low)) * 6) : 0);
    const cellOf = (a, b) => {
      const cell = cells.get(JSON.stringify([a, b]));
      return cell ? h('td', { class: `h${shade(cell.value)}`, title: `${cell.count} variants` },
        h('span', { class: 'mark' }, { within: '✓ ', over: '✗ ' }[budgetOf(cell.row)] ?? ''), shortText(cell.value, figure.unit)) : h('td', {}, '–');
    };
    const [rows, heads] = [fieldValues(down.name), fieldValues(across.name)];
    const least = figure.better === 'more' ? 'greatest' : 'least';
    place.replaceChildren(
      h('p', { class: 'muted' }, `${figure.label}: the ${least} among the variants chosen below.${report.limits.length ? ' ✓ is within budget, ✗ over.' : ''}`),
      h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Heat map' }, h('table', { class: 'heat' },
        h('caption', {}, `${figure.label} by ${down.label} (down) and ${across.label} (across)`),
        h('thead', {}, h('tr', {}, h('td'), ...heads.map((text) => h('th', { scope: 'col' }, text)))),
        h('tbody', {}, ...rows.map((a) => h('tr', {}, h('th', { scope: 'row' }, a), ...heads.map((b) => cellOf(a, b))))))));
    byId('heat').textContent = `${down.label} against ${across.label}`;
  }
  const menu = (label, options, current, set) => h('label', {}, `${label} `, h('select', { id: `heat-${label}`, on: { change: (e) => { set(options[e.target.value]); touched = true; draw(); } } },
    ...options.map((option, k) => h('option', { value: k, selected: option === current }, option.label))));
  byId('heat-tools').append(menu('down', fields, down, (f) => { down = f; }), menu('across', fields, across, (f) => { across = f; }),
    menu('figure', report.view.figures, figure, (f) => { figure = f; }));
  followers.push(draw);
}
