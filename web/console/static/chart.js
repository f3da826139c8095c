// Charts of values over time, by uPlot, in the colours of the page.

import uPlot from "./vendor/uplot-1.6.32.js";
import { isKnown } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";

const HEIGHT = 150;
const HEIGHT_OF_AXIS = 26;
const MIN_SPAN_SECONDS = 300;
// Older values than these are not shown as if they were of now.
const RECENT = 6;

/** `at`: epoch seconds. `series`: each `{label, values, color, fill}`, a color being the name of a CSS variable. Values that are
 * not known are null, and leave a gap. Above the chart are the values under the pointer, or the last ones. */
export function Chart({ label, at, series, format }) {
  const frame = useRef(null);
  const plot = useRef(null);
  const [pointed, setPointed] = useState(null);
  const data = [at, ...series.map((one) => one.values)];

  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(frame.current, series, format, setPointed), data, frame.current);
    };
    make();
    const observer = new ResizeObserver(() => {
      const width = frame.current?.clientWidth;
      if (width && plot.current && width !== plot.current.width) plot.current.setSize({ width, height: HEIGHT });
    });
    observer.observe(frame.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", make);
    window.addEventListener("themechange", make);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", make);
      window.removeEventListener("themechange", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    plot.current?.setData(data);
  }, [at, ...series.map((one) => one.values)]);

  const values = series.map((one) => format(pointed === null ? one.values.slice(-RECENT).findLast(isKnown) : one.values[pointed]));
  return html`<div class="chart">
    <p class="legend">${series.map((one, index) => html`<span class="legend-item"><span class="swatch ${one.color}"></span>${one.label} <b>${values[index]}</b></span>`)}
      <span class="legend-time">${pointed === null ? "" : hourAndMinute(at[pointed])}</span></p>
    <div role="img" aria-label=${`Chart: ${label} over the last hour`} ref=${frame}></div>
  </div>`;
}

function options(frame, series, format, onPoint) {
  const style = getComputedStyle(frame);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: color("faint"),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color("line-soft"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: frame.clientWidth,
    height: HEIGHT,
    padding: [8, 20, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
    scales: { x: { range: (plot, _, max) => [begin(plot.data, max), max] }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.15 : 4] } },
    axes: [
      { ...axis, size: HEIGHT_OF_AXIS, space: 70, values: (_, ticks) => ticks.map((tick) => hourAndMinute(tick)), grid: { show: false } },
      { ...axis, size: 48, space: 34, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...series.map((one) => ({
        stroke: color(one.color),
        width: 1.75,
        fill: one.fill ? `color-mix(in srgb, ${color(one.color)} 14%, transparent)` : undefined,
        points: { show: true, filter: alone, size: 5, width: 1, fill: color(one.color) },
      })),
    ],
  };
}

/** The values that no line shows, since on both sides of them nothing is known. */
export function alone(plot, series) {
  const values = plot.data[series];
  return [...values.keys()].filter((index) => isKnown(values[index]) && !isKnown(values[index - 1]) && !isKnown(values[index + 1]));
}

/** Where the axis of time begins: a service that has just been started has no hour to show yet. */
function begin([at, ...values], end) {
  const first = at.findIndex((_, index) => values.some((one) => isKnown(one[index])));
  return first < 0 ? at[0] : Math.min(at[first], end - MIN_SPAN_SECONDS);
}

const hourAndMinute = (at) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
