/**
 * A client that goes on at a fixed rate for as long as it takes, and what it got in any span of
 * that time: fio logs every request with the wall time of its answer.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { quantileSorted } from 'simple-statistics'
import { KiB } from '../../protocols/limits.ts'
import { Child } from '../support/process-spawn.ts'

export interface SteadyRun {
  readonly uri: string
  readonly scratch: string
  readonly regionBytes: number
  readonly perSecond: number
  readonly inFlight: number
  readonly readPercent: number
  readonly seed: number
}

/** Latencies in milliseconds. */
export interface Span {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
}

/** Of wall time, in milliseconds. */
export interface Interval {
  readonly from: number
  readonly to: number
}

interface Answered {
  readonly atMs: number
  readonly latencyMs: number
}

/** Longer than any bench: it is ended by a signal. */
const RUNTIME_SECONDS = 3600
const NS_PER_MS = 1e6

export class SteadyClient {
  readonly #child: Child
  readonly #log: string

  constructor(run: SteadyRun) {
    const reads = Math.round((run.perSecond * run.readPercent) / 100)
    this.#log = join(run.scratch, 'steady')
    this.#child = new Child(
      'fio',
      'fio',
      [
        '--name=steady',
        '--ioengine=nbd',
        `--uri=${run.uri}`,
        '--rw=randrw',
        `--rwmixread=${run.readPercent}`,
        `--bs=${4 * KiB}`,
        `--iodepth=${run.inFlight}`,
        `--size=${run.regionBytes}`,
        `--rate_iops=${reads},${run.perSecond - reads}`,
        '--time_based',
        `--runtime=${RUNTIME_SECONDS}`,
        `--randseed=${run.seed}`,
        `--write_lat_log=${this.#log}`,
        '--log_unix_epoch=1'
      ],
      { cwd: run.scratch }
    )
  }

  /** Ends the client; what it got in some intervals, taken together. */
  async stop(): Promise<(...intervals: readonly Interval[]) => Span> {
    this.#child.signal('SIGINT')
    const outcome = await this.#child.exited
    const answered = parse(readFileSync(`${this.#log}_lat.1.log`, 'utf8'))
    if (answered.length === 0) throw new Error(`fio answered nothing\n${outcome.stderr}`)
    return (...intervals) => spanOf(answered, intervals)
  }
}

/** `time, latency, direction, block size, offset` per line. */
function parse(text: string): Answered[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [at, latency] = line.split(',')
      return { atMs: Number(at), latencyMs: Number(latency) / NS_PER_MS }
    })
}

function spanOf(all: readonly Answered[], intervals: readonly Interval[]): Span {
  const inside = all.filter(({ atMs }) => intervals.some(one => atMs >= one.from && atMs < one.to))
  const lengthMs = intervals.reduce((sum, { from, to }) => sum + to - from, 0)
  if (inside.length === 0) return { perSecond: 0, p50: 0, p99: 0, longest: lengthMs }
  const sorted = inside.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
  return {
    perSecond: (inside.length * 1000) / lengthMs,
    p50: quantileSorted(sorted, 0.5),
    p99: quantileSorted(sorted, 0.99),
    longest: sorted.at(-1) ?? 0
  }
}
