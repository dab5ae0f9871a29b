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

const NAMED = 9;
const shortName = (name) => (name.length > 34 ? `${name.slice(0, 33)}…` : name);

// A log axis over values with a margin, and its ticks as the static plots have them: 1, 2, 5 of a decade or fewer.
function spanOf(values, most, figure) {
  if (!values.length) return {};
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))].map(Math.log10);
  const margin = (high - low) * 0.06 || 0.1;
  const scale = figure.unit === 'bytes' ? 2 ** 20 : 1;
  return { range: [low - margin, high + margin], ...ticksOf(10 ** (low - margin), 10 ** (high + margin), most, scale) };
}
function ticksOf(low, high, most, scale) {
  let found = [];
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    found = [];
    for (let d = Math.floor(Math.log10(low / scale)); d <= Math.ceil(Math.log10(high / scale)); d += 1) {
      for (const step of steps) if (step * 10 ** d * scale >= low && step * 10 ** d * scale <= high) found.push(step * 10 ** d);
    }
    if (found.length <= most) break;
  }
  found = found.filter((_, k) => k % Math.ceil(found.length / most) === 0);
  return { tickmode: 'array', tickvals: found.map((v) => v * scale), ticktext: found.map(roundText) };
}
function roundText(value) {
  for (const [power, suffix] of [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) if (value >= power) return `${Number((value / power).toPrecision(6))}${suffix}`;
  return String(Number(value.toPrecision(6)));
}

function setUpPareto() {
  const place = byId('pareto-plot');
  if (!place || !byId('plotly-js') || typeof IntersectionObserver === 'undefined') return;
  const figures = report.view.figures.filter((f) => good.some((i) => valueOf(i, f.name) > 0));
  if (figures.length < 2) return;
  let [x, y] = [figures.find((f) => f.name === 'params') ?? figures[0], figures.find((f) => f.name === 'macs') ?? figures[1]];
  let ready = false;

  // The name, the two figures, the budget: the table has the rest.
  function points(counts) {
    const rows = [...counts.keys()];
    const hover = (i) => [shownOf(i), ...[x, y].map((f) => `${f.label} ${figureText(i, f)}`), report.limits.length ? report.view.states[budgetOf(i)] : '',
      counts.get(i) > 1 ? `and ${counts.get(i) - 1} more here` : ''].filter(Boolean).map(plain).join('<br>');
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
    const named = (trace, rows) => Object.assign(trace, { mode: trace.mode.includes('lines') ? 'lines+markers+text' : 'markers+text', text: rows.map((i) => plain(shortName(shownOf(i)))) });
    if (front.length <= NAMED && place.clientWidth > 600) named(data[2], front.map((i) => i));
    [[3, report.baseline], [4, report.subject]].forEach(([k, i]) => named(data[k], i !== null && i !== undefined && positive(i) ? [i] : []));
    if (front.length <= NAMED) data[2].text = data[2].text?.map((text, k) => (special.has(front[k]) ? '' : text));
    const contents = [points(thinned(others.filter((i) => kept.has(i)), x, y)), points(thinned(others.filter((i) => !kept.has(i)), x, y)),
      points(new Map(front.map((i) => [i, 1]))), one(report.baseline), one(report.subject), cloud()];
    data.forEach((trace, k) => Object.assign(trace, contents[k]));
    const css = getComputedStyle(document.documentElement);
    const [ink, grid] = ['--ink', '--line'].map((name) => css.getPropertyValue(name).trim());
    layout.font.color = ink;
    data[2].marker.color = data[2].line.color = css.getPropertyValue('--down').trim();
    const all = data.flatMap((trace) => trace.x.map((v, k) => [v, trace.y[k]]));
    for (const [d, axis, shown] of [[0, layout.xaxis, x], [1, layout.yaxis, y]]) {
      axis.title.text = shown.label + ({ bytes: ' (MiB)', rate: ' (images/s)', seconds: ' (s)' }[shown.unit] ?? '');
      axis.gridcolor = grid;
      const values = [...all.map((point) => point[d]), ...report.limits.filter((limit) => limit.figure === shown.name).map((limit) => limit.bound)].filter((v) => v > 0);
      Object.assign(axis, spanOf(values, d === 0 ? 6 : 8, shown));
    }
    Object.assign(layout.hoverlabel, { bgcolor: css.getPropertyValue('--bg').trim(), bordercolor: grid, font: { color: ink, size: 13 } });
    if (place.clientWidth <= 600) Object.assign(layout, { height: 380, margin: { l: 46, r: 8, t: 10, b: 44 } });
    layout.annotations = report.limits.flatMap((limit) => [[x, 'x'], [y, 'y']].filter(([f]) => f.name === limit.figure).map(([f, which]) => ({
      text: plain(`limit ${shortText(limit.bound, f.unit)}`), showarrow: false, font: { size: 12, color: ink }, bgcolor: css.getPropertyValue('--bg').trim(), borderpad: 1,
      ...(which === 'x' ? { xref: 'x', yref: 'paper', x: Math.log10(limit.bound), y: 0, yanchor: 'bottom', xanchor: 'right', xshift: -4 }
        : { xref: 'paper', yref: 'y', x: 0, y: Math.log10(limit.bound), xanchor: 'left', yanchor: 'bottom' }),
    })));
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
    place.on('plotly_relayout', (change) => { // zoomed: ticks for what is seen now
      const zoomed = [['xaxis', x, 6], ['yaxis', y, 8]].filter(([axis]) => `${axis}.range[0]` in change);
      if (!zoomed.length) return;
      window.Plotly.relayout(place, Object.fromEntries(zoomed.flatMap(([axis, f, most]) => {
        const ends = [0, 1].map((end) => 10 ** change[`${axis}.range[${end}]`]);
        return Object.entries(ticksOf(...ends, most, f.unit === 'bytes' ? 2 ** 20 : 1)).map(([key, value]) => [`${axis}.${key}`, value]);
      })));
    });
    place.on('plotly_doubleclick', () => { draw(); });
    onWidth(place, draw);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  }
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    load();
  }, { rootMargin: '400px' }).observe(byId('pareto-static'));
  followers.push(draw);
}
