import { expect, test } from "vitest";
import { KEPT_SECONDS, lastStep, Meter, quantile, Samples } from "../src/lib/rates.js";

const T = 1_000_000_000_000;

test("a meter counts by the second and leaves the running one out", () => {
  const meter = new Meter();
  for (let second = 0; second < 10; second += 1) meter.add(T + second * 1_000, 2);
  meter.add(T + 10_500, 100);
  expect(meter.sum(T + 10_900, 5)).toBe(10);
  expect(meter.sum(T + 10_900, 60)).toBe(20);
  expect(meter.sum(T + 11_000, 1)).toBe(100);
});

test("a rate is over the time that something is known of, at least five seconds", () => {
  const meter = new Meter();
  meter.add(T + 1_000, 10);
  expect(meter.perSecond(T + 3_000, 60)).toBe(2);
  expect(meter.perSecond(T + 21_000, 60)).toBe(0.5);
  expect(new Meter().perSecond(T, 60)).toBe(0);
});

test("a series has whole steps only, so a bar that is drawn does not change", () => {
  const meter = new Meter();
  meter.add(T + 1_000, 3);
  meter.add(T + 6_000, 4);
  expect(lastStep(T + 9_999, 5)).toBe(T + 5_000);
  expect(meter.series(T + 9_999, 3, 5)).toEqual([0, 0, 3]);
  expect(meter.series(T + 10_000, 3, 5)).toEqual([0, 3, 4]);
  expect(meter.series(T + 14_999, 3, 5)).toEqual([0, 3, 4]);
});

test("what is old goes, also when times jump ahead, and what is no time is nothing", () => {
  const meter = new Meter();
  for (let second = 0; second < 5_000; second += 1) meter.add(T + second * 1_000);
  expect(meter.sum(T + 5_000_000, 5_000)).toBeLessThanOrEqual(KEPT_SECONDS + 31);
  expect(meter.sum(T + 5_000_000, 300)).toBe(300);
  for (let second = 5_000; second > 0; second -= 1) meter.add(T + 9_000_000 + second * 1_000);
  expect(meter.sum(T + 15_000_000, 15_000)).toBeLessThanOrEqual(2 * KEPT_SECONDS + 31);
  meter.add(NaN);
  expect(meter.sum(NaN, 5)).toBe(0);
});

test("samples give quantiles, also of more than are kept", () => {
  const samples = new Samples();
  expect(samples.quantile(T, 60, 0.5)).toBeNull();
  for (let value = 1; value <= 10_000; value += 1) samples.add(T + 2_000, value);
  samples.add(T + 2_000, NaN);
  const median = samples.quantile(T + 2_500, 60, 0.5) ?? 0;
  expect(Math.abs(median - 5_000)).toBeLessThan(500);
  samples.add(T + 7_000, 7);
  expect(samples.series(T + 10_000, 3, 5, 1)[2]).toBe(7);
  expect(samples.series(T + 10_000, 3, 5, 1)[0]).toBeNull();
});

test("a quantile is a value that was there", () => {
  expect(quantile([], 0.5)).toBeNull();
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2);
  expect(quantile([1, 2, 3, 4], 0.95)).toBe(4);
  expect(quantile([1, 2, 3, 4], 0)).toBe(1);
});
