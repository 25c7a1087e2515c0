/**
 * The spans of time by which heat is remembered, in milliseconds of time. By a load clock that runs
 * faster they are as much shorter; rates stay per second of time.
 */
import {
  HEAT_HALF_LIFE_MS,
  HEAT_HOUR_MIN_MS,
  HEAT_SAMPLE_MAX_MS,
  HEAT_WEIGHT_MS
} from '../limits.ts'

export interface HeatSpans {
  readonly halfLifeMs: number
  /** In which a sum that only decays comes to a part of 1 / e. */
  readonly lifeMs: number
  /** A weight is used for so long: off by less than a quarter of a percent. */
  readonly weightMs: number
  readonly sampleMaxMs: number
  readonly hourMinMs: number
}

/** `rate`: of the load clock. */
export function heatSpans(rate: number): HeatSpans {
  const halfLifeMs = HEAT_HALF_LIFE_MS / rate
  return {
    halfLifeMs,
    lifeMs: halfLifeMs / Math.LN2,
    weightMs: HEAT_WEIGHT_MS / rate,
    sampleMaxMs: HEAT_SAMPLE_MAX_MS / rate,
    hourMinMs: HEAT_HOUR_MIN_MS / rate
  }
}
