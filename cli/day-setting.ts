/**
 * The setting of a made-up day: how fast its clock goes, what a node can do, what the application
 * wants; and how a node is started in it.
 */
import type { ClockScale } from '../node/ports.ts'

export interface DaySetting {
  /** So many times as fast as time goes the clock of load. */
  readonly rate: number
  /** What a storage node serves at most, in units of load per second. */
  readonly maxLoad: number
  /** Of the volume, at the height of a mean day. */
  readonly peak: number
  readonly seed: number
}

/** A day in two minutes, whose afternoon is a quarter more than one node can do. */
export const DEMO_DAY: DaySetting = { rate: 720, maxLoad: 800, peak: 1000, seed: 7 }
/** Of what a node can do, the part from which on it counts as overloaded: the default of every node. */
export const THRESHOLD_PART = 0.8
export const PAST_DAYS = 7

/** What `demo-node.js` takes beside the directory and where to listen. */
export function demoNodeWords({ rate, fromMs, startMs }: ClockScale, maxLoad: number): string[] {
  const clock = ['--rate', `${rate}`, '--from', `${fromMs}`, '--start', `${startMs}`]
  return [...clock, '--max-load', `${maxLoad}`]
}
