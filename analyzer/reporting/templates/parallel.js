// Parallel coordinates: a line a variant over its fields and figures; dragging along an axis brushes. Axes stand side
// by side, on a narrow screen one below the other.
const LEAST = 5; // rows from which on this says more than the table

function setUpParallel() {
  const place = byId('parallel-plot');
  if (!place || good.length < LEAST) return;
  const axes = [...report.view.fields.map(fieldAxis), ...report.view.figures.map(figureAxis)].filter((axis) => axis !== null);
  if (axes.length < 2) return;
  byId('parallel-box').hidden = false;

  // `at` says where from 0 to 1 along its axis a row is.
  function fieldAxis(field) {
    const values = fieldValues(field.name);
    if (values.length < 2) return null;
    const at = new Map(values.map((text, k) => [text, k / (values.length - 1)]));
    const every = Math.ceil(values.length / 14);
    return { label: field.label, at: (i) => at.get(fieldText(variantOf(i, field.name))), ticks: values.filter((_, k) => k % every === 0).map((text) => [text, at.get(text)]) };
  }
  function figureAxis(figure) {
    const values = good.map((i) => valueOf(i, figure.name)).filter((v) => v > 0);
    if (values.length < 2) return null;
    const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    if (low === high) return null;
    const at = (value) => Math.log(value / low) / Math.log(high / low);
    return { label: figure.label, at: (i) => (valueOf(i, figure.name) > 0 ? at(valueOf(i, figure.name)) : null), ticks: [[shortText(low, figure.unit), 0], [shortText(high, figure.unit), 1]] };
  }
  // A name in two lines of about the same length; a word a line where those are longer than `most` letters.
  function inLines(label, most) {
    const words = label.split(' ');
    let best = [label];
    for (let k = 1; k < words.length; k += 1) {
      const lines = [words.slice(0, k).join(' '), words.slice(k).join(' ')];
      if (Math.max(...lines.map((l) => l.length)) < Math.max(...best.map((l) => l.length))) best = lines;
    }
    return best.some((line) => line.length > most) ? words.slice(0, 3) : best;
  }

  let drawn = null; // the drawing for the width that there is now

  function build() {
    const width = Math.max(Math.round(place.clientWidth), 280);
    const down = width < 600; // axes one below the other
    const [start, end] = down ? [16, width - 16] : [66, 374];
    const height = down ? axes.length * 74 + 10 : 398;
    const gap = (width - 150) / (axes.length - 1);
    axes.forEach((axis, k) => { axis.place = down ? 44 + k * 74 : 50 + k * gap; });
    const along = (share) => (down ? start + share * (end - start) : end - share * (end - start));
    const point = (axis, share) => (down ? [along(share), axis.place] : [axis.place, along(share)]);
    const path = (rows) => pathOf(rows, point);
    const off = s('path', { class: 'lines off', d: path(good) });
    const on = s('path', { class: 'lines' });
    const marked = [['baseline', report.baseline], ['subject', report.subject]].filter(([, i]) => good.includes(i))
      .map(([kind, i]) => s('path', { class: `lines line-${kind}`, d: path([i]) }, s('title', {}, shownOf(i))));
    const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${good.length} variants over ${axes.map((a) => a.label).join(', ')}; the menus above the table choose the same way` }, off, on, ...marked);
    for (const axis of axes) svg.append(...axisParts(axis, { down, start, end, gap, point, along }));
    place.replaceChildren(svg);
    for (const axis of axes) brushable(axis, svg, { down, start, end });
    return { off, on, path };
  }
  function axisParts(axis, { down, start, end, gap, point, along }) {
    const [[x1, y1], [x2, y2]] = [point(axis, 0), point(axis, 1)];
    const most = Math.max(Math.floor(gap / 7.4) - 1, 3);
    const heads = down ? [axis.label] : inLines(axis.label, most);
    const short = (text) => (down || text.length <= most ? text : `${text.slice(0, most - 1)}…`);
    const head = heads.map((line, k) => s('text', { class: 'strong halo', x: down ? start : axis.place, y: down ? axis.place - 24 : 48 - 16 * (heads.length - 1 - k), 'text-anchor': down ? 'start' : 'middle' }, short(line)));
    const tick = ([text, share]) => {
      const [x, y] = point(axis, share);
      const anchor = share < 0.2 ? 'start' : share > 0.8 ? 'end' : 'middle';
      return down ? s('text', { class: 'halo', x, y: y - 8, 'text-anchor': anchor }, text) : s('text', { class: 'halo', x: x + 6, y: y + 4 }, text);
    };
    const thick = { brush: 18, catch: 40 };
    const box = (kind, from, length) => (down ? { x: from, width: length, y: axis.place - thick[kind] / 2, height: thick[kind] }
      : { y: from, height: length, x: axis.place - thick[kind] / 2, width: thick[kind] });
    const [low, high] = [Math.min(start, end), Math.max(start, end)];
    axis.box = (from, length) => box('brush', from, length);
    axis.share = (at) => (down ? (at - start) / (end - start) : (end - at) / (end - start));
    axis.mark = s('rect', { class: 'brush', ...axis.box(low, 0) });
    axis.grip = s('rect', { class: 'catch', ...box('catch', low - 10, high - low + 20), 'data-axis': axis.label });
    if (axis.kept) set(axis.mark, axis.box(...[...axis.kept.map(along)].sort((a, b) => a - b).map((v, k, all) => (k ? v - all[0] : v))));
    return [s('line', { class: 'axis', x1, y1, x2, y2 }), ...head, ...axis.ticks.map(tick), axis.mark, axis.grip];
  }
  const set = (node, values) => { for (const [key, value] of Object.entries(values)) node.setAttribute(key, value); };

  // All lines as one path; equal lines once.
  function pathOf(rows, point) {
    const lines = new Set(rows.map((i) => {
      let text = '';
      let pen = 'M';
      for (const axis of axes) {
        const share = axis.at(i);
        if (share === null || share === undefined) { pen = 'M'; continue; }
        text += `${pen}${point(axis, share).map(Math.round).join(' ')}`;
        pen = 'L';
      }
      return text;
    }));
    return [...lines].join('');
  }

  function brushable(axis, svg, { down, start, end }) {
    let from = null;
    const where = (event) => {
      const box = svg.getBoundingClientRect();
      const at = down ? ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width : ((event.clientY - box.top) / box.height) * svg.viewBox.baseVal.height;
      return Math.min(end + 6, Math.max(start - 6, at));
    };
    const ends = (event) => [from, where(event)].sort((a, b) => a - b);
    axis.grip.addEventListener('pointerdown', (event) => {
      from = where(event);
      axis.grip.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    axis.grip.addEventListener('pointermove', (event) => {
      if (from === null) return;
      const [low, high] = ends(event);
      set(axis.mark, axis.box(low, high - low));
    });
    axis.grip.addEventListener('pointerup', (event) => {
      if (from === null) return;
      const [low, high] = ends(event);
      from = null;
      axis.kept = high - low < 4 ? null : [axis.share(low), axis.share(high)].sort((a, b) => a - b);
      if (axis.kept === null) {
        rowsState.brushes.delete(axis.label);
        set(axis.mark, axis.box(low, 0));
      } else rowsState.brushes.set(axis.label, (i) => axis.at(i) !== null && axis.at(i) >= axis.kept[0] && axis.at(i) <= axis.kept[1]);
      choose();
    });
  }
  function draw() {
    drawn.on.setAttribute('d', chosen.length === good.length ? drawn.off.getAttribute('d') : drawn.path(chosen));
    drawn.on.classList.toggle('many', chosen.length > 400);
  }
  const anew = () => { drawn = build(); draw(); };
  followers.push(draw);
  anew();
  onWidth(place, anew);
}
