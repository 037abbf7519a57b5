/** Measures the event loop: each call tells the share of the time since the call before in which it did not wait, 0 to 1. */
export function createLoopLoad(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
