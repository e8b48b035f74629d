// The choices on the page, as they stand in the address.

const DEFAULTS = { search: "", sort: "name", window: "day", offset: "0", stream: null, target: "", span: "200", made: null };
export const view = { ...DEFAULTS };

/** Take the view from the address. */
export function read() {
  Object.assign(view, fromAddress());
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, usual]) => [key, given.get(key) ?? usual]));
}

/** The address of this view with changes. */
export function link(changes) {
  const wanted = Object.entries({ ...view, ...changes }).filter(([key, value]) => value !== DEFAULTS[key] && value !== null);
  return `#${new URLSearchParams(wanted)}`;
}
