// Parallel coordinates: a line a variant over its fields and figures; dragging along an axis brushes.
function setUpParallel() {
  const place = byId('parallel-plot');
  if (!place || good.length < 2) return;
  const [width, height, top, bottom] = [960, 360, 34, 18];
  const span = height - top - bottom;
  const axes = [...report.view.fields.map(fieldAxis), ...report.view.figures.map(figureAxis)].filter((axis) => axis !== null);
  if (axes.length < 2) return;
  byId('parallel-box').hidden = false;
  axes.forEach((axis, k) => { axis.x = 60 + (k * (width - 150)) / (axes.length - 1); });

  function fieldAxis(field) {
    const values = fieldValues(field.name);
    if (values.length < 2) return null;
    const at = new Map(values.map((text, k) => [text, top + span * (1 - k / (values.length - 1))]));
    const every = Math.ceil(values.length / 14);
    return { label: field.label, y: (i) => at.get(fieldText(variantOf(i, field.name))), ticks: values.filter((_, k) => k % every === 0).map((text) => [text, at.get(text)]) };
  }
  function figureAxis(figure) {
    const values = good.map((i) => valueOf(i, figure.name)).filter((v) => v > 0);
    if (values.length < 2) return null;
    const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    if (low === high) return null;
    const y = (value) => top + span * (1 - Math.log(value / low) / Math.log(high / low));
    return { label: figure.label, y: (i) => (valueOf(i, figure.name) > 0 ? y(valueOf(i, figure.name)) : null), ticks: [[shortText(low, figure.unit), y(low)], [shortText(high, figure.unit), y(high)]] };
  }
  // All lines as one path; equal lines once.
  function path(rows) {
    const lines = new Set(rows.map((i) => {
      let text = '';
      let pen = 'M';
      for (const axis of axes) {
        const y = axis.y(i);
        if (y === null || y === undefined) { pen = 'M'; continue; }
        text += `${pen}${Math.round(axis.x)} ${Math.round(y)}`;
        pen = 'L';
      }
      return text;
    }));
    return [...lines].join('');
  }

  const off = s('path', { class: 'lines off', d: path(good) });
  const on = s('path', { class: 'lines' });
  const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${good.length} variants over ${axes.map((a) => a.label).join(', ')}; the menus above the table choose the same way` }, off, on);
  for (const [k, axis] of axes.entries()) {
    axis.mark = s('rect', { class: 'brush', x: axis.x - 9, width: 18, height: 0 });
    axis.grip = s('rect', { class: 'catch', x: axis.x - 22, y: top - 10, width: 44, height: span + 20, 'data-axis': axis.label });
    svg.append(s('line', { class: 'axis', x1: axis.x, x2: axis.x, y1: top, y2: top + span }),
      s('text', { class: 'strong halo', x: axis.x, y: k % 2 ? 26 : 11, 'text-anchor': 'middle' }, axis.label),
      ...axis.ticks.map(([text, y]) => s('text', { class: 'halo', x: axis.x + 6, y: y + 4 }, text)), axis.mark, axis.grip);
    brushable(axis);
  }
  place.append(svg);

  function brushable(axis) {
    let from = null;
    const yOf = (event) => {
      const box = svg.getBoundingClientRect();
      return Math.min(top + span + 6, Math.max(top - 6, ((event.clientY - box.top) / box.height) * height));
    };
    axis.grip.addEventListener('pointerdown', (event) => {
      from = yOf(event);
      axis.grip.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    axis.grip.addEventListener('pointermove', (event) => {
      if (from === null) return;
      const [low, high] = [from, yOf(event)].sort((a, b) => a - b);
      axis.mark.setAttribute('y', low);
      axis.mark.setAttribute('height', high - low);
    });
    axis.grip.addEventListener('pointerup', (event) => {
      if (from === null) return;
      const [low, high] = [from, yOf(event)].sort((a, b) => a - b);
      from = null;
      if (high - low < 4) {
        rowsState.brushes.delete(axis.label);
        axis.mark.setAttribute('height', 0);
      } else rowsState.brushes.set(axis.label, (i) => axis.y(i) >= low && axis.y(i) <= high);
      choose();
    });
  }
  function draw() {
    on.setAttribute('d', chosen.length === good.length ? off.getAttribute('d') : path(chosen));
    on.classList.toggle('many', chosen.length > 400);
  }
  followers.push(draw);
  draw();
}
