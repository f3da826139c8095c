// The one place that names the file of Preact and htm.
export * from "./vendor/htm-preact-3.1.1.js";
