/**
 * Calibration: what this node can do, measured on a scratch store of its own and remembered.
 *
 *   idle --start--> looking at clients --> preparing --> cell 1 .. cell 9 --> saved --> idle
 *                        \_ busy: refused     \_________ cancelled, failed ________/
 *
 * It goes on in the daemon, whoever asked for it. Invariants: one at a time; the scratch is gone
 * when it has ended, however it ended, and after the next start if the process did not live to see
 * that; only a whole calibration is remembered, and it is durable before it is in force.
 */
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import {
  type CalibrationRecord,
  type CostModel,
  capacityAtReferenceMix,
  fitCosts,
  shareOfTime
} from '../../protocols/load/capacity.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import {
  CALIBRATION_BUSY_IOPS,
  CALIBRATION_CELL_MS,
  CALIBRATION_DATA_BYTES,
  CALIBRATION_LOOK_MS,
  CALIBRATION_QUICK_CELL_MS,
  CALIBRATION_SPARE_BYTES
} from '../limits.ts'
import type { Clock, Disk, Log, Random } from '../ports.ts'
import { loadCalibration, saveCalibration } from './calibration-file.ts'
import { CELLS } from './measure.ts'
import { measureAll } from './measure-all.ts'
import type { Scratch } from './scratch.ts'

export interface CalibrationParts {
  readonly self: NodeId
  /** The data directory: where the outcome is kept. */
  readonly disk: Disk
  readonly scratch: Scratch
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Requests that clients made of this node so far. */
  readonly requests: () => number
  /** For tests: less data, and shorter cells. */
  readonly dataBytes?: number
  readonly cellMs?: number
}

export interface Running {
  /** 0 while the data is written, then 1 to `of`. */
  readonly cell: number
  readonly of: number
  readonly sinceMs: number
}

/** How the one before ended; absent if none did since the start of the daemon. */
export type Ended =
  | { readonly is: 'done' | 'cancelled' }
  | { readonly is: 'failed'; readonly why: string }

/** What was measured last, and what follows from it. */
export interface Calibrated extends CalibrationRecord {
  readonly costs: CostModel
  /** Units per second (`loadOf`) at the reference mix. */
  readonly capacity: number
}

export interface Calibration {
  /**
   * Begins one, and answers what the person should know of it. Throws CONFLICT while one runs,
   * NEEDS_FORCE while clients use the node, NO_SPACE.
   */
  start: (options: { isQuick: boolean; force: boolean }) => Promise<readonly string[]>
  /** Resolves when it has ended and nothing of it is left. False: none was running. */
  cancel: () => Promise<boolean>
  running: () => Running | undefined
  ended: () => Ended | undefined
  last: () => Calibrated | undefined
  /** The part of this node's time that such a load takes; undefined before the first calibration. */
  shareOf: (record: LoadRecord) => number | undefined
  problems: () => readonly string[]
  /** Ends one that runs, as `cancel`. */
  close: () => Promise<void>
}

interface Run {
  cell: number
  readonly startMs: number
  readonly abort: AbortController
}

/** Reads what is remembered, and removes what a crash left of one that was running. */
export async function openCalibration(parts: CalibrationParts): Promise<Calibration> {
  await parts.scratch.remove().catch((error: unknown) => {
    parts.log.warn({ error: messageOf(error) }, 'the scratch of a calibration was not removed')
  })
  const { record, problem } = await loadCalibration(parts.disk)
  if (problem !== undefined) parts.log.warn({}, problem)
  return new Calibrator(parts, record, problem)
}

class Calibrator implements Calibration {
  readonly #parts: CalibrationParts
  #last: Calibrated | undefined
  #problem: string | undefined
  #running: Run | undefined
  #work: Promise<void> = Promise.resolve()
  #ended: Ended | undefined
  #isClosed = false

  constructor(
    parts: CalibrationParts,
    record: CalibrationRecord | undefined,
    problem: string | undefined
  ) {
    this.#parts = parts
    this.#problem = problem
    this.#last = record === undefined ? undefined : calibrated(record)
  }

  async start(options: { isQuick: boolean; force: boolean }): Promise<readonly string[]> {
    if (this.#running !== undefined || this.#isClosed) {
      const words = 'a calibration is running: wait for it, or call it off with ctrl-C there'
      throw new ShoalError({ code: 'CONFLICT', what: 'calibration' }, words)
    }
    const startMs = this.#parts.clock.monotonicMs()
    const running = { cell: 0, startMs, abort: new AbortController() }
    this.#running = running
    const begun = this.#begin(running, options.force)
    this.#work = begun.then(
      ({ dataBytes }) => this.#run(running, dataBytes, options.isQuick),
      () => undefined
    )
    return (await begun).warnings
  }

  async cancel(): Promise<boolean> {
    if (this.#running === undefined) return false
    this.#running.abort.abort()
    await this.#work
    return true
  }

  running(): Running | undefined {
    if (this.#running === undefined) return undefined
    const { cell, startMs } = this.#running
    const sinceMs = this.#parts.clock.monotonicMs() - startMs
    return { cell, of: CELLS.length, sinceMs }
  }

  ended(): Ended | undefined {
    return this.#ended
  }

  last(): Calibrated | undefined {
    return this.#last
  }

  shareOf(record: LoadRecord): number | undefined {
    return this.#last === undefined ? undefined : shareOfTime(this.#last.costs, record)
  }

  problems(): readonly string[] {
    return this.#problem === undefined ? [] : [this.#problem]
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.cancel()
  }

  // -- before

  async #begin(
    running: Run,
    force: boolean
  ): Promise<{ readonly dataBytes: number; readonly warnings: readonly string[] }> {
    try {
      const dataBytes = await this.#roomFor()
      const warnings = await this.#lookAtClients(force)
      if (!running.abort.signal.aborted) return { dataBytes, warnings }
      throw new ShoalError({ code: 'CLOSED' }, 'the calibration was called off')
    } catch (error) {
      this.#running = undefined
      throw error
    }
  }

  /** As much data as leaves half of the free space alone, and the journal its room. */
  async #roomFor(): Promise<number> {
    const { scratch, dataBytes: wanted = CALIBRATION_DATA_BYTES } = this.#parts
    const freeBytes = await scratch.freeBytes()
    const needed = (dataBytes: number) => 2 * dataBytes + CALIBRATION_SPARE_BYTES
    const fitting = [wanted, wanted / 2, wanted / 4].find(bytes => needed(bytes) <= freeBytes)
    if (fitting !== undefined) return fitting
    throw new ShoalError(
      { code: 'NO_SPACE' },
      `a calibration needs ${formatSize(needed(wanted / 4))} free on the disk of the data ` +
        `directory, and there are ${formatSize(freeBytes)}: free some space`
    )
  }

  async #lookAtClients(force: boolean): Promise<readonly string[]> {
    const { clock, requests } = this.#parts
    const before = requests()
    const fromMs = clock.monotonicMs()
    await new Promise<void>(resolve => clock.after(CALIBRATION_LOOK_MS, resolve))
    const seconds = Math.max(0.001, (clock.monotonicMs() - fromMs) / 1000)
    const iops = Math.round((requests() - before) / seconds)
    if (iops === 0) return []
    const words = `clients make ${iops} requests per second of this node`
    if (iops > CALIBRATION_BUSY_IOPS && !force) {
      throw new ShoalError(
        { code: 'NEEDS_FORCE', why: words },
        `${words}: a calibration takes from them, and finds less than the node can do. Wait until ` +
          'it is idle, or pass --force'
      )
    }
    return [`${words}: they wait longer meanwhile, and less is found than the node can do`]
  }

  // -- the run

  async #run(running: Run, dataBytes: number, isQuick: boolean): Promise<void> {
    const { clock, disk, log } = this.#parts
    const usualMs = isQuick ? CALIBRATION_QUICK_CELL_MS : CALIBRATION_CELL_MS
    const { cellMs = usualMs } = this.#parts
    const { signal } = running.abort
    try {
      const onCell = (cell: number) => {
        running.cell = cell
      }
      const measured = await measureAll({ ...this.#parts, dataBytes, cellMs, signal, onCell })
      if (measured === undefined) {
        this.#ended = { is: 'cancelled' }
        return
      }
      const tookMs = Math.round(clock.monotonicMs() - running.startMs)
      const record = { at: clock.now(), tookMs, isQuick, ...measured }
      await saveCalibration(disk, record)
      this.#last = calibrated(record)
      this.#problem = undefined
      this.#ended = { is: 'done' }
      log.info({ capacity: this.#last?.capacity, tookMs }, 'this node was calibrated')
    } catch (error) {
      this.#ended = { is: 'failed', why: messageOf(error) }
      log.error({ error: messageOf(error) }, 'a calibration failed')
    } finally {
      this.#running = undefined
    }
  }
}

/** Undefined if its cells do not say what requests cost. */
function calibrated(record: CalibrationRecord): Calibrated | undefined {
  const costs = fitCosts(record.cells)
  if (costs === undefined) return undefined
  return { ...record, costs, capacity: capacityAtReferenceMix(costs) }
}
