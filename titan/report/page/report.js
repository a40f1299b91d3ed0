// report.js: the page's state, its controls, and loading itself again while a run goes on.
'use strict';

const page = JSON.parse(document.getElementById('data').textContent);
const runs = page.runs;

const kMemory = 'titan report ' + location.pathname;
const view = Object.assign({axis: 'step', log: false, hidden: {}, theme: 'auto', scroll: 0}, remembered());

function remembered() {
  try { return JSON.parse(sessionStorage.getItem(kMemory)) || {}; } catch (error) { return {}; }
}
function remember() {
  try { sessionStorage.setItem(kMemory, JSON.stringify(view)); } catch (error) { /* a browser without memory */ }
}

function element(name, values, parent) {
  const made = Object.assign(document.createElement(name), values);
  if (parent) parent.append(made);
  return made;
}
function cleared(id) {
  const place = document.getElementById(id);
  place.replaceChildren();
  return place;
}
const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const darkWish = matchMedia('(prefers-color-scheme: dark)');
const theme = () => view.theme !== 'auto' ? view.theme : darkWish.matches ? 'dark' : 'light';

/** Everything that depends on the theme, the axis or which runs are shown. */
function refresh() {
  document.documentElement.dataset.theme = theme();
  for (const button of document.querySelectorAll('#axis button'))
    button.setAttribute('aria-pressed', String(button.value === view.axis));
  document.getElementById('log').checked = view.log;
  document.getElementById('theme').textContent = 'theme: ' + view.theme;
  drawSummary();
  drawTime();
  drawCharts();
  remember();
}

function addControls() {
  for (const [axis, title] of [['step', 'step'], ['samples', 'samples'], ['hours', 'time']])
    element('button', {type: 'button', value: axis, textContent: title,
                       onclick: () => { view.axis = axis; refresh(); }}, document.getElementById('axis'));
  document.getElementById('log').onchange = (event) => { view.log = event.target.checked; refresh(); };
  document.getElementById('theme').onclick = () => {
    view.theme = {auto: 'light', light: 'dark', dark: 'auto'}[view.theme];
    refresh();
  };
  darkWish.onchange = refresh;
  document.getElementById('written').textContent = 'written ' + page.written +
    (page.reload_s ? '; loads itself again every ' + page.reload_s + ' s while the run goes on' : '');
  document.title = runs.map((run) => run.name).join(', ') + ' – titan report';
}

function reloadLater() {
  if (!page.reload_s) return;
  setTimeout(() => {
    view.scroll = window.scrollY;
    remember();
    location.reload();
  }, 1000 * page.reload_s);
}

history.scrollRestoration = 'manual';
document.documentElement.dataset.theme = theme();
addControls();
drawNotes();
addCharts();
addGrids();
addSettings();
addFacts();
addEvents();
refresh();
window.scrollTo(0, view.scroll);
view.scroll = 0;
reloadLater();
