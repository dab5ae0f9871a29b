// Any two figures of the sweep against each other: plotly, loaded once the plot comes into view; without it the
// static plot stays.
const CELLS = [420, 300]; // points closer than this part of the plot are drawn as one where there are very many
const MANY = 2500;

// Rows that no other row beats in both figures.
function frontOf(rows, x, y) {
  const worth = (i, figure) => (figure.better === 'more' ? -1 : 1) * valueOf(i, figure.name);
  const known = rows.filter((i) => valueOf(i, x.name) !== null && valueOf(i, y.name) !== null);
  known.sort((a, b) => worth(a, x) - worth(b, x) || worth(a, y) - worth(b, y) || a - b);
  const best = [];
  for (const i of known) {
    const last = best.at(-1);
    const equal = last !== undefined && worth(last, x) === worth(i, x) && worth(last, y) === worth(i, y);
    if (last === undefined || equal || worth(i, y) < worth(last, y)) best.push(i);
  }
  return best;
}

// plotly reads a little HTML in its labels.
const plain = (text) => visible(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function thinned(rows, x, y) {
  if (rows.length <= MANY) return new Map(rows.map((i) => [i, 1]));
  const logs = [x, y].map((f) => rows.map((i) => Math.log(valueOf(i, f.name))));
  const ends = logs.map((values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]);
  const cells = new Map();
  rows.forEach((i, k) => {
    const key = logs.map((values, d) => Math.round(((values[k] - ends[d][0]) / (ends[d][1] - ends[d][0] || 1)) * CELLS[d])).join();
    const cell = cells.get(key);
    if (cell) cell[1] += 1;
    else cells.set(key, [i, 1]);
  });
  return new Map(cells.values());
}

function setUpPareto() {
  const place = byId('pareto-plot');
  if (!place || !byId('plotly-js') || typeof IntersectionObserver === 'undefined') return;
  const figures = report.view.figures.filter((f) => good.some((i) => valueOf(i, f.name) > 0));
  if (figures.length < 2) return;
  let [x, y] = [figures.find((f) => f.name === 'params') ?? figures[0], figures.find((f) => f.name === 'macs') ?? figures[1]];
  let ready = false;

  function points(counts) {
    const rows = [...counts.keys()];
    const hover = (i) => [shownOf(i), ...report.view.figures.map((f) => `${f.label}: ${figureText(i, f)}`),
      ...(counts.get(i) > 1 ? [`and ${counts.get(i) - 1} more here`] : [])].map(plain).join('<br>');
    return { x: rows.map((i) => valueOf(i, x.name)), y: rows.map((i) => valueOf(i, y.name)), hovertext: rows.map(hover), customdata: rows, ...errors(rows) };
  }
  // The range of a measured throughput over its times.
  function errors(rows) {
    const found = {};
    for (const [axis, figure] of [['error_x', x], ['error_y', y]]) {
      if (figure.unit !== 'rate') continue;
      const rates = rows.map((i) => column('measured')[i]?.seconds_per_batch.map((t) => column('measured')[i].batch / t) ?? []);
      found[axis] = { type: 'data', symmetric: false, thickness: 1,
        array: rates.map((r, k) => (r.length ? Math.max(...r) - valueOf(rows[k], figure.name) : 0)),
        arrayminus: rates.map((r, k) => (r.length ? valueOf(rows[k], figure.name) - Math.min(...r) : 0)) };
    }
    return found;
  }
  // What a search saw to fit: its params and MACs, whichever way round.
  function cloud() {
    const of = (f) => ['params', 'macs'].indexOf(f.name);
    const shown = of(x) >= 0 && of(y) >= 0 ? report.cloud ?? [] : [];
    return { x: shown.map((point) => point[of(x)]), y: shown.map((point) => point[of(y)]) };
  }
  function figure() {
    const { data, layout, config } = structuredClone(report.view.plot);
    const positive = (i) => valueOf(i, x.name) > 0 && valueOf(i, y.name) > 0;
    const kept = new Set(chosen);
    const special = new Set([report.baseline, report.subject]);
    const front = frontOf(good.filter(positive), x, y);
    const others = good.filter((i) => positive(i) && !special.has(i));
    const one = (i) => points(new Map(i !== null && i !== undefined && positive(i) ? [[i, 1]] : []));
    const contents = [points(thinned(others.filter((i) => kept.has(i)), x, y)), points(thinned(others.filter((i) => !kept.has(i)), x, y)),
      points(new Map(front.map((i) => [i, 1]))), one(report.baseline), one(report.subject), cloud()];
    data.forEach((trace, k) => Object.assign(trace, contents[k]));
    const css = getComputedStyle(document.documentElement);
    const [ink, grid] = ['--ink', '--line'].map((name) => css.getPropertyValue(name).trim());
    layout.font.color = ink;
    data[2].marker.color = data[2].line.color = css.getPropertyValue('--down').trim();
    for (const [axis, shown] of [[layout.xaxis, x], [layout.yaxis, y]]) {
      axis.title.text = shown.label + ({ bytes: ' (bytes)', rate: ' (images/s)', seconds: ' (s)' }[shown.unit] ?? '');
      axis.gridcolor = grid;
    }
    layout.shapes = report.limits.flatMap((limit) => [
      ...(limit.figure === x.name ? [{ type: 'line', xref: 'x', yref: 'paper', x0: limit.bound, x1: limit.bound, y0: 0, y1: 1 }] : []),
      ...(limit.figure === y.name ? [{ type: 'line', xref: 'paper', yref: 'y', x0: 0, x1: 1, y0: limit.bound, y1: limit.bound }] : []),
    ]).map((shape) => ({ ...shape, line: { dash: 'dash', width: 1.5, color: css.getPropertyValue('--up').trim() } }));
    return [data.filter((trace, k) => trace.x.length || k === 0), layout, config];
  }
  const draw = () => ready && window.Plotly.react(place, ...figure());

  const menu = (label, get, set) => h('label', {}, `${label} `, h('select', { id: `pareto-${label}`, on: { change: (e) => { set(figures[e.target.value]); draw(); } } },
    ...figures.map((f, k) => h('option', { value: k, selected: f === get }, f.label))));
  byId('pareto-tools').append(menu('across', x, (f) => { x = f; }), menu('up', y, (f) => { y = f; }));

  async function load() {
    for (const id of report.view.style_ids) document.head.append(h('meta', { id }));
    const script = document.createElement('script');
    script.textContent = await inflate('plotly-js'); // allowed by its hash in the page's policy
    document.head.append(script);
    if (!window.Plotly) return;
    ready = true;
    byId('pareto-static').hidden = true;
    place.hidden = false;
    byId('pareto-tools').hidden = false;
    await draw();
    place.dataset.ready = 'yes';
    place.on('plotly_click', (event) => {
      byId('variant-find').value = nameOf(event.points[0].customdata);
      byId('variant-find').dispatchEvent(new Event('input'));
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  }
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    load();
  }, { rootMargin: '400px' }).observe(byId('pareto-static'));
  followers.push(draw);
}
