/**
 * What on this node is measured and foretold by itself: the node, and each shard that holds a chunk;
 * and what a forecast of it rests on beside its past.
 *
 * Invariant: the keeper is told of every difference, once; after it failed, of everything. History is
 * forgotten with its volume only: of a shard whose chunks all moved away it goes after them first.
 */

import { patternOf } from '../../crdt/pattern-records.ts'
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import type { Pattern } from '../../protocols/forecast/patterns.ts'
import type { SubjectSettings } from '../../protocols/forecast/subject.ts'
import { isVolumeId, type VolumeId } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import { THRESHOLD_PART } from '../limits.ts'
import { heldRanges } from '../moves/held.ts'
import { countChunks } from '../moves/ranges.ts'
import { knownZone } from '../volumes/zones.ts'
import { type KeeperTell, NODE_KEY } from './keeper-messages.ts'

export interface SubjectsOptions {
  /** The time zone of this host. */
  readonly zone: string
  /** Units per second that this node can do; undefined before a calibration. */
  readonly capacity: () => number | undefined
  /** Part of it above which the node counts as overloaded; absent: THRESHOLD_PART. */
  readonly thresholdPart?: () => number
  readonly shards: () => readonly ShardHead[]
  readonly volume: (id: VolumeId) => VolumeView | undefined
  readonly mesh: () => MeshView
  readonly tell: (message: KeeperTell) => void
}

export class Subjects {
  readonly #options: SubjectsOptions
  /** What the keeper was told, as text. */
  readonly #told = new Map<string, string>()
  /** What was made of each shard: most looks find nothing new, and there may be thousands. */
  readonly #made = new Map<string, Made>()
  #threshold: SubjectSettings['threshold'] = 'usual'
  /** Shards that were here, and whose volume lives on. */
  readonly #left = new Set<string>()
  /** Shards whose history went after their data, and that still have a sign-post. */
  readonly #moved = new Set<string>()

  constructor(options: SubjectsOptions) {
    this.#options = options
  }

  /** The keeper knows of nothing: everything is told again. */
  begin(): void {
    this.#told.clear()
    this.#made.clear()
    this.look()
  }

  /** Tells what is new, what changed, and what is gone. */
  look(): void {
    const now = this.#now()
    for (const { spec, runs } of this.#options.shards()) {
      if (runs.length > 0) this.#moved.delete(spec.id)
    }
    for (const [key, settings] of now) {
      const made = this.#made.get(key)
      if (made?.isTold === true && made.settings === settings) continue
      if (made !== undefined) made.isTold = true
      const text = JSON.stringify(settings)
      if (this.#told.get(key) === text) continue
      this.#told.set(key, text)
      this.#left.delete(key)
      this.#options.tell({ tell: 'subject', key, settings })
    }
    for (const key of this.#told.keys()) {
      if (now.has(key)) continue
      this.#told.delete(key)
      this.#made.delete(key)
      const lives = !this.#moved.delete(key) && this.#lives(key)
      if (lives) this.#left.add(key)
      this.#options.tell({ tell: 'gone', key, forget: !lives })
    }
    for (const key of this.#left) {
      if (this.#lives(key)) continue
      this.#left.delete(key)
      this.#options.tell({ tell: 'gone', key, forget: true })
    }
  }

  has(key: string): boolean {
    return this.#told.has(key)
  }

  /** All history of a shard has gone after its data: it is forgotten here, once the shard is gone. */
  forget(key: VolumeId): void {
    if (this.#told.has(key)) this.#moved.add(key)
    else {
      this.#left.delete(key)
      this.#options.tell({ tell: 'gone', key, forget: true })
    }
  }

  /** Of a volume as a whole. */
  volumeSettings(view: VolumeView): SubjectSettings {
    return { zone: knownZone(view.zone), patterns: patternsOf(view, 1), threshold: 'usual' }
  }

  #lives(key: string): boolean {
    return isVolumeId(key) && this.#options.mesh().volumes.has(key)
  }

  #now(): Map<string, SubjectSettings> {
    const { shards, zone } = this.#options
    const now = new Map<string, SubjectSettings>()
    const all: Pattern[] = []
    const threshold = this.#presentThreshold()
    for (const head of shards()) {
      if (isGone(head)) continue
      const { settings } = this.#madeOf(head, threshold)
      all.push(...settings.patterns)
      now.set(head.spec.id, settings)
    }
    now.set(NODE_KEY, { zone, patterns: all, threshold })
    return now
  }

  /** The same as long as the shard, its volume and the threshold are. */
  #madeOf(head: ShardHead, threshold: SubjectSettings['threshold']): Made {
    const { id } = head.spec
    const view = this.#options.volume(id)
    const known = this.#made.get(id)
    const isSame = known?.head === head && known.view === view
    if (isSame && known.settings.threshold === threshold) return known
    const patterns = patternsOf(view, partOf(head))
    const settings = { zone: knownZone(view?.zone), patterns, threshold }
    const made = { head, view, settings, isTold: false }
    this.#made.set(id, made)
    return made
  }

  /** The same object until it changes. */
  #presentThreshold(): SubjectSettings['threshold'] {
    const { thresholdPart = () => THRESHOLD_PART } = this.#options
    const capacity = this.#options.capacity()
    const load = capacity === undefined ? undefined : thresholdPart() * capacity
    const before = this.#threshold === 'usual' ? undefined : this.#threshold.load
    if (load !== before) {
      this.#threshold = load === undefined ? 'usual' : { load, from: 'capacity' }
    }
    return this.#threshold
  }
}

interface Made {
  readonly head: ShardHead
  readonly view: VolumeView | undefined
  readonly settings: SubjectSettings
  isTold: boolean
}

/**
 * Nothing is held, and the sign-posts are gone: they stay for longer than the history of what was
 * released needs to leave, which must not be forgotten before it is taken.
 */
function isGone({ runs, released }: ShardHead): boolean {
  return runs.length === 0 && released.length === 0
}

/** The part of a volume that a shard holds: declared load is taken to fall on it evenly. */
function partOf(head: ShardHead): number {
  const all = extentCount(head.spec, head.sizeBytes) * head.spec.columns
  return all === 0 ? 0 : Math.min(1, countChunks(heldRanges(head)) / all)
}

function patternsOf(view: VolumeView | undefined, part: number): Pattern[] {
  return (view?.patterns ?? []).map(entry => {
    const pattern = patternOf(entry)
    return { ...pattern, extra: pattern.extra * part }
  })
}
