// The one place that names the files of Preact and htm. `html` makes elements of a template: what a template holds in `${…}` is
// text or an attribute, never markup.

import htm from "./vendor/htm-3.1.1.js";
import { h } from "./vendor/preact-11.2.0.js";

export { render } from "./vendor/preact-11.2.0.js";
export { useCallback, useEffect, useMemo, useRef, useState } from "./vendor/preact-hooks-11.2.0.js";

export const html = htm.bind(h);
