// Elements from words. Texts become text nodes: nothing that the agent says is ever markup.

const svgNames = new Set(['svg', 'path', 'rect', 'circle', 'line']);

/** h makes an element: h('p.quiet', {title: 'x', onclick: f}, 'text', child, [more]). */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.');
  const el = svgNames.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  if (classes.length) el.setAttribute('class', classes.join(' '));
  if (props !== undefined && props !== null && (typeof props !== 'object' || props instanceof Node || Array.isArray(props))) {
    children.unshift(props);
    props = null;
  }
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) el.addEventListener(key.slice(2), value);
    else if (key === 'vars') for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else if (key in el && key !== 'list' && !svgNames.has(tag)) el[key] = value;
    else el.setAttribute(key, value === true ? '' : value);
  }
  el.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

/** button makes one: button('.primary', 'text', f, {title: 'x'}). */
export const button = (classes, text, onclick, props) => h('button' + classes, {type: 'button', onclick, ...props}, text);

/** toggle makes a button that is pressed or not; turn is told which. */
export function toggle(text, turn, title) {
  const b = button('.plain', text, () => {
    const on = b.getAttribute('aria-pressed') !== 'true';
    attr(b, 'aria-pressed', on);
    turn(on);
  }, {title, 'aria-pressed': 'false'});
  return b;
}

/** table makes one that scrolls: heads are texts, those of numbers in a list of their own; rows are made of td. */
export const table = (heads, numbers, rows) => h('div.scroll', h('table',
  h('thead', h('tr', heads.map((x) => h('th', x)), numbers.map((x) => h('th.n', x)))), rows instanceof Node ? rows : h('tbody', rows)));

/** chooser is the choice of a camera for a view. */
export const chooser = (view, names, name, text) => h('label', text, h('select', {id: 'camera', 'aria-label': text,
  onchange: (e) => { location.hash = `#${view}/${encodeURIComponent(e.target.value)}`; }},
names.map((n) => h('option', {value: n, selected: n === name}, n))));

/** keeping makes something anew; whoever was at an element with an id stays there. */
export function keeping(make) {
  const {id} = document.activeElement;
  make();
  if (id && document.activeElement === document.body) document.getElementById(id)?.focus();
}

/** dot is the sign of ok, degraded or failed; word says the same. */
export const dot = (status, word) => h('span.dot', {'data-status': status, role: 'img', 'aria-label': word, title: word});

/** say sets an element's text where it is another. */
export function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

/** attr sets an attribute where it is another; null takes it away. */
export function attr(el, name, value) {
  if (value === null || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value);
}

/** get asks the agent for JSON; an error carries its words. */
export async function get(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return answerOf(await fetch(text ? `${path}?${text}` : path, {headers: {Accept: 'application/json'}}));
}

/** post makes the agent do something. */
export async function post(path, body) {
  return answerOf(await fetch(path, {
    method: 'POST', body: JSON.stringify(body), headers: {'Content-Type': 'application/json', Accept: 'application/json'},
  }));
}

async function answerOf(response) {
  if (response.status === 401) location.assign('/login');
  const kind = response.headers.get('Content-Type') || '';
  const body = kind.includes('json') ? await response.json() : {error: (await response.text()).trim()};
  if (!response.ok) throw new Error(body.error || response.statusText);
  return body;
}

/** colour is a class's own, by its index: far apart from the ones beside it. */
export const colour = (index) => (index < 0 ? 'var(--unknown)' : hsl(index, 'var(--tone)'));

const hsl = (index, tone) => `hsl(${Math.round((index * 137.508 + 212) % 360)} 70% ${tone})`;

/** paint is the same colour for a canvas. */
export const paint = (index) => (index < 0 ? css('--unknown') : hsl(index, css('--tone')));

/** css is the value of a variable of the style sheet. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
