// details.js: what stands beside the curves: summary, time, pictures, settings, facts, events.
'use strict';

function table(place, head, rows, numeric) {
  const result = element('table', {}, element('div', {className: 'table'}, place));
  const cellClass = (column) => numeric && column > 0 ? 'number' : '';
  const header = element('tr', {}, element('thead', {}, result));
  head.forEach((text, i) => element('th', {textContent: text, className: cellClass(i)}, header));
  const body = element('tbody', {}, result);
  for (const row of rows) {
    const line = element('tr', {}, body);
    row.forEach((cell, i) => {
      const td = element('td', {className: cellClass(i)}, line);
      if (cell instanceof Node) td.append(cell); else td.textContent = cell;
    });
  }
  return result;
}

function duration(seconds) {
  if (!(seconds >= 0)) return '–';
  if (seconds < 60) return Number(seconds.toPrecision(3)) + ' s';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min ' + Math.round(seconds % 60) + ' s';
  return Math.floor(seconds / 3600) + ' h ' + Math.round(seconds % 3600 / 60) + ' min';
}

const lastOf = (values) => (values || []).reduce((last, value) => value === null ? last : value, null);
/** The mean of a run's points; NaN where it has none. */
function meanOf(series) {
  const values = ((series || {}).mean || []).filter((value) => value !== null);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
const meanSeries = (part, name) => (part.series[name] || {}).mean;

function runButton(run, index) {
  const button = element('button', {type: 'button', className: 'run'});
  button.setAttribute('aria-pressed', String(!view.hidden[run.name]));
  button.title = 'show or hide ' + run.path;
  const swatch = element('span', {className: 'swatch'}, button);
  swatch.style.borderTopColor = runColor(index);
  swatch.style.borderTopStyle = runDash(index).length ? 'dashed' : 'solid';
  button.append(run.name);
  button.onclick = () => { view.hidden[run.name] = !view.hidden[run.name]; refresh(); };
  return button;
}

const memoryText = (gib) => gib < 0.1 ? compact(1024 * gib) + ' MiB' : compact(gib) + ' GiB';
/** "980 of 1,000" */
function stepText(run) {
  const step = (lastOf(run.train.step) || 0).toLocaleString('en');
  return run.num_steps ? step + ' of ' + run.num_steps.toLocaleString('en') : step;
}

function drawSummary() {
  const place = cleared('summary');
  const head = ['run', 'state', 'step', 'loss', 'evaluation', 'best evaluation', 'samples/s', 'MFU', 'memory', 'time'];
  const rows = runs.map((run, index) => {
    const evals = (meanSeries(run.evals, 'loss') || []).filter((value) => value !== null);
    const mfu = meanOf(run.train.series.mfu), hours = lastOf(run.train.hours);
    return [
      runButton(run, index), run.state, stepText(run), compact(lastOf(meanSeries(run.train, 'loss'))),
      compact(lastOf(evals)), compact(evals.length ? Math.min(...evals) : null),
      compact(meanOf(run.train.series.samples_per_s)), isFinite(mfu) ? percentText(mfu) : '–',
      isFinite(meanOf(run.train.series.memory_gib)) ?
        memoryText(Math.max(...(run.train.series.memory_gib.high || run.train.series.memory_gib.mean))) : '–',
      (hours === null ? '–' : duration(3600 * hours)) + (run.left_s === null ? '' : ', ' + duration(run.left_s) + ' left')];
  });
  table(place, head, rows, true);
}

function drawNotes() {
  const place = cleared('notes');
  const notes = runs.flatMap((run) => run.notes.map((note) => runs.length > 1 ? run.name + ': ' + note : note));
  if (!notes.length) return;
  const list = element('ul', {}, place);
  for (const note of notes) element('li', {textContent: note}, list);
}

const kShareColors = {
  light: ['#0072b2', '#d55e00', '#cc79a7', '#009e73', '#e69f00', '#56b4e9'],
  dark: ['#56b4e9', '#ff8c42', '#e39ac6', '#2fc79c', '#e69f00', '#a8d4f0'],
};

let timeChart = null;
function drawTime() {
  if (timeChart) timeChart.destroy();
  timeChart = null;
  const place = cleared('time');
  const having = runs.filter((run) => run.shares.some(([, seconds]) => seconds > 0));
  element('h2', {textContent: 'Where the time went'}, place);
  if (!having.length) return void element('p', {className: 'quiet', textContent: 'no step was timed'}, place);
  const names = having[0].shares.map(([name]) => name);
  const total = (run) => run.shares.reduce((sum, [, seconds]) => sum + seconds, 0);
  const box = element('div', {className: 'card'}, place);
  const plot = element('div', {className: 'shares'}, box);
  plot.style.height = 34 + 34 * having.length + 'px';
  const canvas = element('canvas', {}, plot);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', 'shares of time; the table below has the figures');
  const text = cssColor('--quiet');
  timeChart = new Chart(canvas, {
    type: 'bar',
    data: {labels: having.map((run) => run.name), datasets: names.map((name, i) => ({
      label: name, backgroundColor: kShareColors[theme()][i],
      data: having.map((run) => 100 * run.shares[i][1] / total(run))}))},
    options: {indexAxis: 'y', animation: false, maintainAspectRatio: false,
      scales: {x: {stacked: true, max: 100, ticks: {color: text, callback: (value) => value + ' %'}, grid: {color: cssColor('--grid')}},
               y: {stacked: true, ticks: {color: text, callback: (i) => having[i].name.slice(-28)}, grid: {display: false}}},
      plugins: {legend: {display: false},
        tooltip: {callbacks: {label: (item) => item.dataset.label + ': ' + percentText(item.parsed.x / 100)}}}},
  });
  const head = ['', ...having.map((run) => run.name)];
  const rows = names.map((name, i) => {
    const label = element('span', {});
    element('span', {className: 'block'}, label).style.background = kShareColors[theme()][i];
    label.append(name);
    return [label, ...having.map((run) => {
      if (name === 'exposed communication' && !run.exposed) return 'not traced';
      return duration(run.shares[i][1]) + '  (' + percentText(run.shares[i][1] / total(run)) + ')';
    })];
  });
  table(box, head, rows, true);
  for (const run of having.filter((one) => one.exposed))
    element('p', {textContent: run.name + ': communication that steps waited for was ' +
      percentText(run.exposed.share) + ' of the traced steps ' + run.exposed.first_step + ' to ' +
      run.exposed.last_step + ' of ' + run.exposed.ranks + ' rank(s), taken for all steps'}, box);
}

const pictureSource = (grid) => 'data:image/webp;base64,' + grid.image;
/** The newest grid up to a step, or the first. */
const gridAt = (run, step) => run.grids.filter((grid) => grid.step <= step).pop() || run.grids[0];

function addGrids() {
  const place = cleared('grids');
  const having = runs.filter((run) => run.grids.length);
  element('h2', {textContent: 'Samples'}, place);
  if (!having.length) return void element('p', {className: 'quiet', textContent: 'no sample grids were drawn'}, place);
  const steps = [...new Set(having.flatMap((run) => run.grids.map((grid) => grid.step)))].sort((a, b) => a - b);
  const bar = element('div', {className: 'slider'}, place);
  const move = (by) => show(Math.min(steps.length - 1, Math.max(0, Number(slider.value) + by)));
  element('button', {type: 'button', textContent: '◀', title: 'earlier', onclick: () => move(-1)}, bar);
  const slider = element('input', {type: 'range', min: 0, max: steps.length - 1, step: 1}, bar);
  slider.setAttribute('aria-label', 'step of the samples');
  element('button', {type: 'button', textContent: '▶', title: 'later', onclick: () => move(1)}, bar);
  const label = element('output', {}, bar);
  const pictures = element('div', {className: 'pictures'}, place);
  const figures = having.map((run) => {
    const figure = element('figure', {}, pictures);
    const caption = element('figcaption', {}, figure);
    const image = element('img', {className: 'grid', alt: 'samples of ' + run.name}, figure);
    const film = element('div', {className: 'film'}, figure);
    for (const grid of run.grids) {
      const button = element('button', {type: 'button', onclick: () => show(steps.indexOf(grid.step))}, film);
      if (grid.image) element('img', {src: pictureSource(grid), alt: '', width: Math.min(140, 64 * grid.width / grid.height)}, button);
      button.append(compact(grid.step));
    }
    return {run, caption, image, film};
  });
  function show(index) {
    slider.value = index;
    view.grid = steps[index];
    label.textContent = 'step ' + steps[index].toLocaleString('en');
    for (const {run, caption, image, film} of figures) {
      const grid = gridAt(run, steps[index]);
      caption.textContent = run.name + ', step ' + grid.step.toLocaleString('en') + (grid.note ? ': ' + grid.note : '');
      caption.className = grid.note ? 'alarm' : '';
      image.hidden = !grid.image;
      if (grid.image) { image.src = pictureSource(grid); image.width = grid.width; image.height = grid.height; }
      run.grids.forEach((one, i) => {
        const button = film.children[i];
        button.setAttribute('aria-pressed', String(one === grid));
        if (one === grid) film.scrollLeft = button.offsetLeft - film.offsetLeft - film.clientWidth / 2;
      });
    }
    remember();
  }
  slider.oninput = () => show(Number(slider.value));
  // While a run goes on the newest picture is shown, unless an earlier one was chosen.
  const chosen = steps.indexOf(view.grid);
  show(chosen >= 0 && view.grid !== view.newestGrid ? chosen : steps.length - 1);
  view.newestGrid = steps[steps.length - 1];
}

function addSettings() {
  const place = cleared('settings');
  element('h2', {textContent: runs.length > 1 ? 'Settings that differ' : 'Settings'}, place);
  if (!page.settings.length)
    return void element('p', {className: 'quiet', textContent: runs.length > 1 ? 'all settings are the same' : 'no settings are known'}, place);
  if (runs.length > 1)
    return void table(place, ['setting', ...runs.map((run) => run.name)],
      page.settings.map(([key, ...values]) => [key, ...values.map((value) => value === '' ? '–' : value)]));
  const details = element('details', {}, place);
  element('summary', {textContent: page.settings.length + ' settings'}, details);
  const search = element('input', {type: 'search', placeholder: 'part of a name or value'}, details);
  const rows = table(details, ['setting', 'value'], page.settings).tBodies[0].rows;
  search.oninput = () => {
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(search.value.toLowerCase());
  };
}

function addFacts() {
  const place = cleared('facts');
  element('h2', {textContent: 'Facts'}, place);
  const keys = [...new Set(runs.flatMap((run) => run.facts.map(([key]) => key)))];
  const rows = [['folder', ...runs.map((run) => run.path)]];
  for (const key of keys) rows.push([key, ...runs.map((run) => (run.facts.find(([name]) => name === key) || ['', '–'])[1])]);
  table(place, ['', ...runs.map((run) => run.name)], rows);
}

function addEvents() {
  const place = cleared('events');
  const rows = runs.flatMap((run) => run.events.map((event) => [
    run.name, event.step.toLocaleString('en'), event.name, event.seconds ? duration(event.seconds) : '', event.text || '']));
  element('h2', {textContent: 'Events'}, place);
  if (!rows.length) return void element('p', {className: 'quiet', textContent: 'none'}, place);
  const details = element('details', {open: rows.length <= 12}, place);
  const count = new Map();
  for (const row of rows) count.set(row[2], (count.get(row[2]) || 0) + 1);
  element('summary', {textContent: [...count].map(([name, times]) => times + ' × ' + name).join(', ')}, details);
  table(details, ['run', 'step', 'event', 'took', ''], rows);
}
