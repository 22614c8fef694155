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
export function colour(index, light = 0) {
  if (index < 0) return 'var(--unknown)';
  return `hsl(${Math.round((index * 137.508 + 212) % 360)} 70% calc(var(--tone) + ${light}%))`;
}

/** paint is the same colour for a canvas. */
export function paint(index, alpha = 1) {
  const style = getComputedStyle(document.documentElement);
  if (index < 0) return style.getPropertyValue('--unknown').trim();
  return `hsl(${Math.round((index * 137.508 + 212) % 360)} 70% ${style.getPropertyValue('--tone').trim()} / ${alpha})`;
}

/** css is the value of a variable of the style sheet. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
