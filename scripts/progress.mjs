/**
 * What a person sees while a script works: one line a step, with the time it took where that matters.
 */

/**
 * @param {string} step
 * @param {string} text
 * @returns {void}
 */
export function say(step, text) {
  process.stdout.write(`${step.padEnd(10)} ${text}\n`);
}

/**
 * @param {number} startedAt from performance.now()
 * @returns {string} such as "4.1 s"
 */
export function since(startedAt) {
  return seconds(performance.now() - startedAt);
}

/**
 * @param {number} ms
 * @returns {string}
 */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
