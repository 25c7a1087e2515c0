/**
 * The documents of the control API about load: what is, what was, and what is foretold. Loads are in
 * units per second (protocols/load/record.ts), shares are of the capacity that a calibration
 * measured, times are wall milliseconds. docs/control-api.md describes them.
 */
import type { CostModel } from '../../protocols/load/capacity.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import type { Ended } from '../load/calibrate.ts'
import type { PieceSummary } from '../load/piece-times.ts'

/** What is expected at one time ahead. */
export interface AheadDocument {
  readonly minutes: number
  readonly q50: number
  readonly q90: number
  readonly q95: number
}

/** What is true of a volume, a shard and a node alike. */
export interface LoadDocument extends LoadRecord {
  /** Of the last seconds, in units per second. */
  readonly load: number
  /** Absent before the first forecast: `warming` says why. */
  readonly ahead?: readonly AheadDocument[]
  /** That an overload starts within the hour. */
  readonly chance?: number
  readonly threshold?: ThresholdDocument
}

export interface ThresholdDocument {
  readonly load: number
  /** A part of the measured capacity; or, without one, what this load seldom exceeds by itself. */
  readonly from: 'capacity' | 'usual'
}

export interface NodeLoadDocument extends LoadDocument {
  readonly node: string
  readonly region: string
  readonly isSelf: boolean
  /** Units per second that it can do, by its last calibration. */
  readonly capacity?: number
  /** Of that capacity, as its requests are now. */
  readonly share?: number
  /** When this was said; older than a minute if gossip is all there is. */
  readonly ageMs: number
  /** A node that did not answer: what it gossiped last, or nothing. */
  readonly from: 'answer' | 'gossip' | 'nothing'
  /** Shards whose past is still being read after a start, of all. */
  readonly warming?: { readonly left: number; readonly all: number }
}

export interface ShardLoadDocument extends LoadDocument {
  readonly volume: string
  readonly node: string
  /** Of the node's capacity. */
  readonly share?: number
}

export interface VolumeLoadDocument extends LoadDocument {
  readonly volume: string
  readonly shards: number
}

/** GET /v1/load?top=N: of each table the N of the greatest load, all of them unless told. */
export interface TopDocument {
  readonly at: number
  readonly nodes: readonly NodeLoadDocument[]
  readonly volumes: readonly VolumeLoadDocument[]
  readonly shards: readonly ShardLoadDocument[]
  /** Names of nodes that did not answer. */
  readonly silent: readonly string[]
  /** Rows that `top` left out; absent if it left out none. */
  readonly leftOut?: {
    readonly nodes: number
    readonly volumes: number
    readonly shards: number
  }
}

/** `load` of GET /v1/self: what it costs this node to keep and foretell the load of its shards. */
export interface LoadKeepingDocument {
  /** Synchronous pieces in the daemon's own thread since its start: how long they held it. */
  readonly pieces: PieceSummary
  /** The rest is absent until the keeper has said so. Shards whose past is still being read, of all. */
  readonly warming?: { readonly left: number; readonly all: number }
  /** Of all series, on disk. */
  readonly seriesBytes?: number
  /** When the models in use were trained; absent if none were. */
  readonly trainedAt?: number
}

/** GET /v1/load/forecast?subject=NAME&horizonMinutes=60 */
export interface ForecastDocument {
  readonly subject: string
  readonly kind: 'volume' | 'shard' | 'node'
  /** Of `path` and `bands`: the first is that of `at` + `stepMs`. */
  readonly at: number
  readonly stepMs: number
  /** Means of steps of `stepMs`, the last ends at `at`; null where nothing was measured. */
  readonly history: { readonly stepMs: number; readonly loads: ReadonlyArray<number | null> }
  readonly path: readonly number[]
  /** Quantiles of every step of the path. */
  readonly bands: {
    readonly q50: readonly number[]
    readonly q90: readonly number[]
    readonly q95: readonly number[]
  }
  readonly model: string
  /** 1 - error / error of the better naive model; 0 or less: naive is as good, and is used. */
  readonly skill: number
  readonly threshold?: ThresholdDocument
  /** That the threshold is crossed within the hour, and within the whole horizon. */
  readonly chance?: { readonly hour: number; readonly horizon: number }
  /** When the expected load, and its high quantile (q90), cross the threshold first. */
  readonly crossing?: { readonly expectedAt?: number; readonly highAt?: number }
  /** Days of history that the forecast rests on. */
  readonly historyDays: number
  readonly zone: string
  readonly patterns: readonly string[]
}

/** POST /v1/load/import?volume=NAME with a CSV of load (protocols/load/csv.ts) as its body. */
export interface ImportDocument {
  readonly volumes: readonly ImportedVolume[]
}

export interface ImportedVolume {
  readonly volume: string
  readonly rows: number
  /** Of those rows. */
  readonly taken: number
  /** Of the first and the last row. */
  readonly from: number
  readonly to: number
  /** Why rows were left out. */
  readonly why?: string
}

/** The last one, of CalibrationStateDocument */
export interface CalibrationDocument {
  readonly at: number
  readonly cells: readonly CalibrationCell[]
  /** Units per second at the reference mix: 16 KiB requests, seven reads to three writes. */
  readonly capacity: number
  readonly tookMs: number
  readonly isQuick: boolean
  /** False: the page cache could not be dropped, reads may have come from memory. */
  readonly coldReads: boolean
  /** Seconds of the node's time, fitted to the cells. */
  readonly costs: CostModel
}

/** GET, POST (with `warnings`) and DELETE (with `wasRunning`) /v1/calibration */
export interface CalibrationStateDocument {
  /** Cell 0: the data is being written. */
  readonly running?: { readonly cell: number; readonly of: number; readonly sinceMs: number }
  /** Since the start of the daemon. */
  readonly ended?: Ended
  readonly last?: CalibrationDocument
}

export interface CalibrationCell {
  readonly sizeBytes: number
  /** Part of the requests that are reads, 0 to 1. */
  readonly readPart: number
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
}

/** POST /v1/volumes/:volume/patterns, and one of PatternsDocument */
export interface PatternDocument {
  readonly id: string
  /** As it was declared: `mon-fri 02:00`. */
  readonly when: string
  readonly minutes: number
  readonly iops: number
  readonly bytesPerSecond: number
  /** The zone of the volume, in which the times are read. */
  readonly zone: string
}

/** GET /v1/volumes/:volume/patterns; of DELETE those that were removed */
export interface PatternsDocument {
  readonly zone: string
  readonly patterns: readonly PatternDocument[]
}

/** GET and PUT /v1/volumes/:volume/zone */
export interface ZoneDocument {
  /** By its IANA name; UTC where none was ever said. */
  readonly zone: string
}
