/**
 * What the daemon and its load keeper say to each other. The keeper (keeper.ts) holds the series and
 * the forecasts of everything on this node; it runs in a thread of its own, so everything here is
 * plain data that can be cloned.
 *
 *   tell   no answer: what was measured, which shards there are
 *   ask    one answer each
 *   news   from the keeper: forecasts, how far it is
 *
 * Keys name what has a series: `NODE_KEY`, or the id of a volume for its shard on this node.
 */
import type { Published, SubjectSettings } from '../../protocols/forecast/subject.ts'
import type { TrainingRecord } from '../../protocols/forecast/training.ts'
import type { Outlook } from '../../protocols/load/messages.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import type { LoadRow } from '../../protocols/load/rows.ts'
import type { Resolution } from './series.ts'

export const NODE_KEY = 'node'

export const STEP_SECONDS: Readonly<Record<Resolution, number>> = {
  second: 1,
  minute: 60,
  hour: 3600
}

export interface KeyedRecord {
  readonly key: string
  readonly record: LoadRecord
}

export interface ToldMinute {
  readonly slot: number
  readonly records: readonly KeyedRecord[]
  /** So many minutes that end with this one were alike; absent: it is the only one. */
  readonly count?: number
}

export type KeeperTell =
  | {
      readonly tell: 'tick'
      /** Seconds since 1970, and the records of those that had requests in it. */
      readonly second: number
      readonly seconds: readonly KeyedRecord[]
      /** So many seconds that end with this one were alike; absent: it is the only one. */
      readonly count?: number
      /** The minute that has just ended, if one has; whoever is not named was idle. */
      readonly minute?: ToldMinute
    }
  /** There is such a shard, or its settings changed. */
  | { readonly tell: 'subject'; readonly key: string; readonly settings: SubjectSettings }
  /** There is none any more; `forget`: nor is its history wanted. */
  | { readonly tell: 'gone'; readonly key: string; readonly forget: boolean }
  /** The piece arrived where it belongs. */
  | { readonly tell: 'delivered'; readonly id: string }

/** A chunk's part of its shard's load: now, and by the hour of the day (UTC) if it is known. */
export interface HistoryPart {
  readonly share: number
  readonly byHour?: readonly number[]
}

export type KeeperAsk =
  | {
      readonly ask: 'forecast'
      readonly subject:
        | { readonly key: string }
        /** Loads at even steps, NaN where unknown; the last step ends at `endMs`. */
        | {
            readonly loads: Float64Array
            readonly endMs: number
            readonly settings: SubjectSettings
          }
      readonly horizonMinutes: number
    }
  /** Mean loads of steps, NaN where unknown; the last step ends at or before now. */
  | { readonly ask: 'history'; readonly key: string; readonly steps: number }
  | {
      readonly ask: 'rows'
      readonly key: string
      readonly step: Resolution
      /** Slots [from, to). */
      readonly from: number
      readonly to: number
    }
  | { readonly ask: 'import'; readonly key: string; readonly rows: readonly LoadRow[] }
  /** Takes a part of a shard's history off it and off the node, and keeps it until delivered. */
  | {
      readonly ask: 'take'
      readonly key: string
      readonly id: string
      readonly to: string
      readonly part: HistoryPart
    }
  /** Adds what another node took off its own. */
  | {
      readonly ask: 'give'
      readonly key: string
      readonly piece: Uint8Array
    }
  /** Pieces that an earlier start took and did not deliver. */
  | { readonly ask: 'undelivered' }

export interface PieceOnItsWay {
  readonly id: string
  readonly key: string
  /** The node that holds now what it belongs to. */
  readonly to: string
  readonly piece: Uint8Array
}

/** The question of one kind. */
export type KeeperAskOf<Q extends KeeperAsk['ask']> = Extract<KeeperAsk, { readonly ask: Q }>

/** What each question is answered with. */
export interface KeeperAnswers {
  /** Undefined: nothing is known of it yet. */
  forecast: Outlook | undefined
  history: { readonly loads: Float64Array; readonly endMs: number }
  rows: { readonly rows: readonly LoadRow[]; readonly next: number | undefined }
  import: { readonly taken: number }
  take: PieceOnItsWay
  give: { readonly isNew: boolean }
  undelivered: readonly PieceOnItsWay[]
}
export interface KeyedForecast {
  readonly key: string
  readonly forecast: Published
}

export interface KeeperState {
  /** Subjects whose past is still being read, of all. */
  readonly warming: { readonly left: number; readonly all: number }
  /** Bytes of all series on disk. */
  readonly bytes: number
  /** Models of this node that are in use beside those that need no training. */
  readonly trained: TrainingRecord | undefined
}

export type KeeperAnswer = KeeperAnswers[keyof KeeperAnswers]

export type KeeperNews =
  | { readonly news: 'forecasts'; readonly forecasts: readonly KeyedForecast[] }
  | { readonly news: 'state'; readonly state: KeeperState }
  /** Something that a person should read in the log. */
  | { readonly news: 'trouble'; readonly what: string }
