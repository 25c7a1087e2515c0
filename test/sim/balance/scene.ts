/**
 * What a simulated mesh is: its nodes, volumes and chunks, what they can do, what they are asked, and
 * what is foretold of that. Made from a seed (made-scene.ts), or read (test/bench/balance-trace.ts).
 *
 * Invariant: the mesh knows of all this nothing but what is said here.
 */
import type { NodeSettings } from '../../../protocols/balance/settings.ts'
import type { LoadPath } from '../../../protocols/balance/types.ts'
import type { SimMove } from './ground.ts'
import type { SimPlace } from './places.ts'

export interface SceneVolume {
  /** All of it is here at first. */
  readonly gateway: SimPlace
  /** Each of a part of its load. */
  readonly chunks: ReadonlyArray<{ readonly share: number; readonly bytes: number }>
}

/** Of each volume, as it was measured last. */
export interface SceneLoad {
  /** Units per second. */
  readonly now: Float64Array
  /** On to step number `step`, one after the other from 0 on. */
  advance(step: number): void
}

export interface Foreteller {
  /** The loads of the next step that is over. */
  tell(loads: Float64Array): void
  /** Of a volume, from the step after the last told one on. */
  path(volume: number): LoadPath
  /** The hours after the path, until a day is full; undefined: nobody knows. */
  day(volume: number): LoadPath | undefined
}

export interface Scene {
  readonly places: readonly SimPlace[]
  readonly volumes: readonly SceneVolume[]
  /** Units per second of a node. */
  readonly capacity: number
  readonly threshold: number
  readonly roomBytes: number
  readonly settings: NodeSettings
  readonly load: SceneLoad
  readonly foretelling: Foreteller
  /** At which nodes think that they copy. */
  readonly copyBytesPerSecond: number
  /**
   * False: what is measured and foretold is that of the beginning of a step, and so is the time at
   * which nodes look: else a load of before the forecast would be taken for one that surprises it.
   */
  readonly isMeasuredAlways: boolean
  /** New moves of a step in the whole mesh. */
  readonly mostNewMoves: number
  readonly roundTripMs: (a: SimPlace, b: SimPlace) => number
  /** How long a move really copies that begins at `atMs`; `fraction`: chance, 0 to 1. */
  readonly copyMs: (bytes: number, atMs: number, fraction: number) => number
}

/** Is told what happens. */
export interface MeshWatch {
  readonly stepped?: (step: number, nodeLoads: Float64Array) => void
  readonly started?: (move: SimMove, atMs: number) => void
}
