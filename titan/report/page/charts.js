// charts.js: curves of all runs over one another. Uses Chart.js; `view` and `runs` are report.js's.
'use strict';

// Okabe & Ito's colours, told apart by every kind of colour vision; lighter ones on dark paper.
const kRunColors = {
  light: ['#0072b2', '#d55e00', '#009e73', '#b8568f', '#b37a00', '#3b9bd0', '#555555', '#7a5c00'],
  dark: ['#56b4e9', '#ff8c42', '#2fc79c', '#e39ac6', '#f0e442', '#7fa8ff', '#c9ced4', '#e69f00'],
};
const kDashes = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

const runColor = (index) => kRunColors[theme()][index % kRunColors.light.length];
const runDash = (index) => kDashes[Math.floor(index / kRunColors.light.length) % kDashes.length];

const kCurves = [
  {name: 'loss', title: 'Training loss', top: 'loss_max', log: true, alarm: true},
  {name: 'loss', title: 'Evaluation loss', evals: true, log: true},
  {name: 'grad_norm', title: 'Gradient norm, before clipping', log: true, alarm: true},
  {name: 'lr', title: 'Learning rate'},
  {name: 'samples_per_s', title: 'Throughput', unit: 'samples/s', zero: true},
  {name: 'step_s', title: 'Step time', unit: 's', zero: true},
  {name: 'mfu', title: 'Model FLOP utilisation (MFU)', percent: true, zero: true},
  {name: 'mfu_fp8', title: 'MFU against the 8-bit peak', percent: true, zero: true},
  {name: 'tflops', title: 'TFLOP/s per device', zero: true},
  {name: 'memory_gib', title: 'Peak memory of tensors', unit: 'GiB', zero: true},
  {name: 'data_wait_share', title: 'Step time spent waiting for data', percent: true, zero: true},
];
const kShownElsewhere = new Set(['loss_max', 'train_samples', 'samples']);

/** The chosen axis of a step of a run: itself, or samples and time between the records around it. */
function axisOf(run, step) {
  if (view.axis === 'step') return step;
  const steps = run.train.step, other = run.train[view.axis];
  if (!other || !steps.length) return null;
  const scale = view.axis === 'hours' ? timeUnit().per_hour : 1;
  let high = steps.findIndex((at) => at >= step);
  if (high < 0) return other[steps.length - 1] * scale;
  if (high === 0 || steps[high] === step) return other[high] * scale;
  const share = (step - steps[high - 1]) / (steps[high] - steps[high - 1]);
  return (other[high - 1] + share * (other[high] - other[high - 1])) * scale;
}

/** Hours are the wrong unit for a run of minutes. */
function timeUnit() {
  const longest = Math.max(0, ...runs.map((run) => run.train.hours[run.train.hours.length - 1] || 0));
  if (longest < 0.05) return {name: 'seconds', per_hour: 3600};
  return longest < 3 ? {name: 'minutes', per_hour: 60} : {name: 'hours', per_hour: 1};
}
const axisTitle = () => view.axis === 'hours' ? timeUnit().name + ' of running' : view.axis;

function compact(value) {
  if (value === null || value === undefined || !isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(2);
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']])
    if (size >= unit) return Number((value / (unit === 1e4 ? 1e3 : unit)).toPrecision(4)) + name;
  if (size !== 0 && size < 1e-3) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** A share of 1 as per cent: three digits. */
const percentText = (share) => Number((100 * share).toPrecision(3)) + ' %';

const valueText = (curve, value) =>
  curve.percent ? percentText(value) : compact(value) + (curve.unit ? ' ' + curve.unit : '');

/** Low, high and mean of one run's curve as data sets; without a band where all three agree. */
function dataSets(curve, run, index) {
  const part = curve.evals ? run.evals : run.train;
  const series = part.series[curve.name];
  if (!series || view.hidden[run.name]) return [];
  const top = curve.top && part.series[curve.top];
  const low = series.low || series.mean;
  const high = top ? top.high || top.mean : series.high || series.mean;
  const x = part.step.map((step) => axisOf(run, step));
  // A logarithmic axis has no place for zero.
  const points = (values) => x.map((at, i) =>
    ({x: at, y: values[i] === null || (view.log && curve.log && values[i] <= 0) ? NaN : values[i]}));
  const color = runColor(index);
  const sets = [];
  if (low.some((value, i) => value !== high[i])) {
    const band = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0, band: true, backgroundColor: color + '30'};
    sets.push({...band, data: points(low), fill: false}, {...band, data: points(high), fill: '-1'});
  }
  sets.push({
    label: run.name, data: points(series.mean), low: low, high: high, curve: curve, fill: false,
    borderColor: color, backgroundColor: color, borderDash: runDash(index), borderWidth: 1.6,
    pointRadius: curve.evals || x.length < 40 ? 2.5 : 0, pointHitRadius: 6,
  });
  return sets;
}

/** Restarts, stops, checkpoints and steps that were no number, drawn over the curves. */
const kMarks = {
  id: 'marks',
  afterDatasetsDraw(chart) {
    const {ctx, chartArea: area, scales} = chart, curve = chart.config.options.curve;
    ctx.save();
    runs.forEach((run, index) => {
      if (view.hidden[run.name]) return;
      ctx.strokeStyle = ctx.fillStyle = runColor(index);
      const at = (step) => {
        const x = scales.x.getPixelForValue(axisOf(run, step));
        return x >= area.left - 1 && x <= area.right + 1 ? x : null;
      };
      for (const event of run.events) {
        const x = at(event.step);
        if (x === null) continue;
        if (event.name === 'resume' || event.name === 'stop') line(ctx, x, area, event.name === 'stop');
        if (event.name === 'checkpoint') triangle(ctx, x, area.bottom);
        if (event.name === 'nonfinite' && curve.alarm) cross(ctx, x, area.top + 6);
      }
      const missing = curve.alarm && (run.train.series[curve.name] || {}).missing || [];
      for (const [bucket] of missing) {
        const x = at(run.train.step[bucket]);
        if (x !== null) cross(ctx, x, area.top + 6);
      }
    });
    ctx.restore();
  },
};
function line(ctx, x, area, dotted) {
  ctx.setLineDash(dotted ? [2, 3] : [6, 4]);
  ctx.lineWidth = 1.2;
  ctx.beginPath(); ctx.moveTo(x, area.top); ctx.lineTo(x, area.bottom); ctx.stroke();
}
function triangle(ctx, x, bottom) {
  ctx.globalAlpha = 0.7;
  ctx.beginPath(); ctx.moveTo(x, bottom - 6); ctx.lineTo(x - 3.5, bottom); ctx.lineTo(x + 3.5, bottom); ctx.fill();
  ctx.globalAlpha = 1;
}
function cross(ctx, x, y) {
  ctx.save();
  ctx.setLineDash([]);
  ctx.strokeStyle = cssColor('--alarm');
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.moveTo(x - 4, y - 4); ctx.lineTo(x + 4, y + 4); ctx.moveTo(x - 4, y + 4); ctx.lineTo(x + 4, y - 4);
  ctx.stroke();
  ctx.restore();
}

function chartOptions(curve) {
  const text = cssColor('--quiet'), grid = {color: cssColor('--grid'), borderColor: cssColor('--line')};
  return {
    curve: curve, animation: false, normalized: true, parsing: false, maintainAspectRatio: false,
    interaction: {mode: 'nearest', axis: 'x', intersect: false},
    scales: {
      x: {type: 'linear', min: 0, bounds: 'data', grid: grid, title: {display: true, text: axisTitle(), color: text},
          ticks: {color: text, maxRotation: 0, callback: compact}},
      y: {type: view.log && curve.log ? 'logarithmic' : 'linear', grid: grid, beginAtZero: Boolean(curve.zero),
          ticks: {color: text, maxTicksLimit: 7, callback: (value) => curve.percent ? compact(100 * value) + ' %' : compact(value)}},
    },
    plugins: {
      legend: {display: false},
      tooltip: {
        filter: (item) => !item.dataset.band,
        callbacks: {
          title: (items) => items.length ? axisTitle() + ' ' + compact(items[0].parsed.x) : '',
          label: (item) => {
            const set = item.dataset, i = item.dataIndex;
            const range = set.low[i] === set.high[i] ? '' :
              ' (' + valueText(curve, set.low[i]) + ' to ' + valueText(curve, set.high[i]) + ')';
            return set.label + ': ' + valueText(curve, item.parsed.y) + range;
          },
        },
      },
    },
  };
}

/** How many records the points stand for: no figure is passed off as another. */
function pointsText(curve, having) {
  const parts = having.map((run) => curve.evals ? run.evals : run.train);
  const range = (values) => {
    const low = Math.min(...values), high = Math.max(...values), text = (value) => value.toLocaleString('en');
    return low === high ? text(low) : text(low) + ' to ' + text(high);
  };
  const records = range(parts.map((part) => part.records)) + (parts.length === 1 && parts[0].records === 1 ? ' record' : ' records');
  const cut = parts.some((part) => part.records > part.step.length);
  return cut ? records + ' in ' + range(parts.map((part) => part.step.length)) + ' points: mean and range' : records;
}

const charts = [];
function addChart(place, curve) {
  const having = runs.filter((run) => (curve.evals ? run.evals : run.train).series[curve.name]);
  if (!having.length) return false;
  const card = element('div', {className: 'card'}, place);
  element('h3', {textContent: curve.title + (curve.unit ? ', ' + curve.unit : '')}, card);
  element('p', {textContent: pointsText(curve, having)}, card);
  const canvas = element('canvas', {}, element('div', {className: 'plot'}, card));
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', curve.title + ' of ' + having.map((run) => run.name).join(', '));
  charts.push(new Chart(canvas, {type: 'line', data: {datasets: []}, options: chartOptions(curve), plugins: [kMarks]}));
  return true;
}

function addCharts() {
  const place = document.getElementById('charts'), known = {train: new Set(kShownElsewhere), evals: new Set(kShownElsewhere)};
  const absent = [];
  for (const curve of kCurves) {
    known[curve.evals ? 'evals' : 'train'].add(curve.name);
    if (!addChart(place, curve) && curve.name !== 'mfu_fp8') absent.push(curve.title);
  }
  known.evals.add('seconds');
  const more = document.getElementById('more-charts');
  for (const part of ['train', 'evals']) {
    const names = new Set(runs.flatMap((run) => Object.keys(run[part].series)));
    for (const name of [...names].sort())
      if (!known[part].has(name)) {
        addChart(more, {name: name, title: (part === 'evals' ? 'Evaluation: ' : '') + name, evals: part === 'evals'});
        document.getElementById('more').hidden = false;
      }
  }
  document.getElementById('marks').textContent =
    '▲ checkpoint; dashed line: restart, dotted line: stop; × a value that is no finite number' +
    (absent.length ? '. Not measured here: ' + absent.join(', ') : '');
}

function drawCharts() {
  for (const chart of charts) {
    const curve = chart.config.options.curve;
    const options = chartOptions(curve), sets = runs.flatMap((run, index) => dataSets(curve, run, index));
    if (view.log && curve.log) {  // its own choice would be the next power of ten
      const values = sets.flatMap((set) => set.data.map((point) => point.y)).filter((y) => y > 0);
      if (values.length) options.scales.y.min = 0.9 * values.reduce((a, b) => Math.min(a, b));
    }
    chart.options = options;
    chart.data.datasets = sets;
    chart.update('none');
  }
}
