import type { JSX } from "preact";

const width = 90;
const height = 18;

/** Numbers as a line, the newest at the right; its top is the largest of them. */
export function Spark({ values }: { readonly values: readonly number[] }): JSX.Element {
  const top = Math.max(1, ...values);
  const step = width / 60;
  const points = values.map((value, at) => {
    const x = width - (values.length - 1 - at) * step;
    return `${x.toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} aria-hidden="true">
      <polyline points={points.join(" ")} />
    </svg>
  );
}
