/**
 * One node of the simulated mesh, as the driver in node/balance is: looks at its loads to come,
 * plans by the shipped policy, and offers (deals.ts) and bids (bidder.ts) by the shipped machines.
 *
 * Invariant: it knows its own part of the ground, and of others what gossip has brought.
 */
import type { MoveHistory } from '../../../protocols/balance/history-of-moves.ts'
import { addPaths, loadAt, partOf, sumPaths } from '../../../protocols/balance/paths.ts'
import { type Look, plan } from '../../../protocols/balance/policy.ts'
import type {
  BidFigures,
  LoadPath,
  NodeOutlook,
  ShardOutlook
} from '../../../protocols/balance/types.ts'
import { Trust } from '../../../protocols/negotiate/trust.ts'
import { Bidding } from './bidding.ts'
import { Dealing } from './dealing.ts'
import type { SimChunk, SimMove } from './ground.ts'
import type { BalanceMesh } from './mesh.ts'
import { historyWith, type Mistakes } from './mistakes.ts'
import type { SimPlace } from './places.ts'
import { AHEAD_STEPS, MOST_CHUNK_BYTES } from './settings.ts'

const KEPT_PUBLICATIONS = 3

/** What gossip tells of it. */
export interface Publication {
  readonly atMs: number
  readonly load: number
  readonly high: number
  readonly freeBytes: number
}

export class BalanceNode {
  readonly place: SimPlace
  readonly history: MoveHistory
  readonly trust = new Trust()
  readonly bidding: Bidding
  readonly dealing: Dealing
  /** The newest first. */
  readonly publications: Publication[] = []
  readonly #mesh: BalanceMesh
  /** Since the last look: forecasts do not know. */
  #arrived: SimMove[] = []
  #base: LoadPath | undefined
  #changes = 0

  constructor(place: SimPlace, mesh: BalanceMesh, mistakes: Mistakes) {
    this.place = place
    this.#mesh = mesh
    this.history = historyWith(mistakes)
    this.bidding = new Bidding(this, mesh, mistakes)
    this.dealing = new Dealing(this, mesh, mistakes)
  }

  /** Another one whenever what it would bid may have changed by itself. */
  get version(): number {
    return this.#changes
  }

  get begun(): number {
    return this.dealing.begun
  }

  look(): void {
    const nowMs = this.#mesh.loadMs
    const { settings, threshold, copyBytesPerSecond } = this.#mesh.scene
    for (const { id, source } of this.#arrived) {
      this.bidding.ledger.counted(this.#mesh.node(source).place.node, id)
    }
    this.#arrived = []
    const shards = this.#shards()
    this.#base = sumPaths(shards.map(({ path }) => path))
    this.changed()
    const awarded = this.bidding.ledger
      .promises(this.#mesh.clock.nowMs)
      .filter(({ at }) => at === 'awarded')
    const own = this.outlook(
      awarded.map(({ offer }) => offer.path),
      this.dealing.leaving
    )
    this.#publish(own)
    const look: Look = {
      nowMs,
      node: own,
      shards,
      settings,
      past: this.history,
      linkCost: 0,
      copyBytesPerSecond,
      underWay: [],
      greatestThreshold: threshold,
      refused: this.dealing.refused()
    }
    const before = this.begun
    for (const want of plan(look).wants) this.dealing.offer(want, look)
    this.#mesh.checks.looked(this.begun - before)
  }

  /** With `more` that is promised, and without `less`. */
  outlook(more: readonly LoadPath[], less: readonly LoadPath[]): NodeOutlook {
    const nowMs = this.#mesh.loadMs
    const leaving = less.reduce((sum, path) => sum + loadAt(path, nowMs).expected, 0)
    const { node, region, host } = this.place
    const { capacity, threshold } = this.#mesh.scene
    return {
      ...{ node, region, host },
      load: Math.max(0, this.#mesh.loadOf(this) - leaving),
      capacity,
      threshold,
      path: addPaths(this.#base ?? this.#mesh.silence(), more, less),
      freeBytes: this.#mesh.freeBytes(this)
    }
  }

  /** What it would bid on the move, with what is really under way to it, `begins` included. */
  reallyAs(move: SimMove, begins: SimMove): BidFigures | undefined {
    const coming = new Set([...this.#mesh.movesTo(this), begins])
    coming.delete(move)
    const bytes = [...coming].reduce((sum, other) => sum + other.bytes, 0)
    const all = [...coming, ...this.#arrived].map(({ offer }) => offer)
    const appraisal = this.bidding.appraisal(move.offer, all, bytes)
    return appraisal.is === 'fit' ? appraisal.figures : undefined
  }

  changed(): void {
    this.#changes++
  }

  /** A move from here has ended. */
  left(move: SimMove, isDone: boolean): void {
    this.changed()
    if (isDone) this.note('left', move.chunks)
    this.dealing.moved(move.id, isDone)
  }

  came(move: SimMove): void {
    this.changed()
    this.note('arrived', move.chunks)
    this.#arrived.push(move)
  }

  note(is: 'left' | 'arrived', chunks: readonly SimChunk[]): void {
    const atMs = this.#mesh.clock.nowMs
    this.history.note({ is, atMs, chunks: chunks.map(({ key }) => key), bytes: 0 })
  }

  #shards(): ShardOutlook[] {
    const shards = new Map<number, SimChunk[]>()
    for (const chunk of this.#mesh.heldBy(this)) {
      const known = shards.get(chunk.volume.index)
      if (known === undefined) shards.set(chunk.volume.index, [chunk])
      else known.push(chunk)
    }
    return [...shards].map(([index, chunks]) => this.#shard(index, chunks))
  }

  #shard(index: number, chunks: readonly SimChunk[]): ShardOutlook {
    const share = chunks.reduce((sum, chunk) => sum + chunk.share, 0)
    const { id, gateway } = this.#mesh.volume(index)
    // A forecast of a day is made only for what may go home.
    const day = gateway.region === this.place.region ? undefined : this.#mesh.day(index)
    return {
      volume: id,
      load: share * this.#mesh.volumeLoad(index),
      path: partOf(this.#mesh.path(index), share),
      chunks: chunks
        .filter(chunk => !this.dealing.has(chunk))
        .map(({ key, share: part, bytes }) => ({ chunk: key, share: part / share, bytes }))
        .sort((a, b) => b.share - a.share),
      settings: { isOn: true },
      ...this.#wayHome(gateway),
      ...(day !== undefined && { day: partOf(day, share) })
    }
  }

  /** Round trips to the gateway: from here, and from the nearest place with room. */
  #wayHome(gateway: SimPlace): Pick<ShardOutlook, 'rttMs' | 'homeRttMs'> {
    const rttMs = this.#mesh.scene.roundTripMs(this.place, gateway)
    const said = this.#mesh.node(gateway.index).publications[0]
    if (said === undefined || said.freeBytes < MOST_CHUNK_BYTES || !this.#mesh.isForetelling) {
      return { rttMs }
    }
    return { rttMs, homeRttMs: 0 }
  }

  /** The rest of the day of all that is here, and of what is promised. */
  dayWith(more: readonly LoadPath[]): LoadPath | undefined {
    const shares = new Map<number, number>()
    for (const { volume, share } of this.#mesh.heldBy(this)) {
      shares.set(volume.index, (shares.get(volume.index) ?? 0) + share)
    }
    const days: LoadPath[] = []
    for (const [index, share] of shares) {
      const day = this.#mesh.day(index)
      if (day === undefined) return undefined
      days.push(partOf(day, share))
    }
    const [first, ...others] = days
    return first === undefined ? undefined : addPaths(first, [...others, ...more])
  }

  #publish({ load, path, freeBytes }: NodeOutlook): void {
    const high = path.high[AHEAD_STEPS - 1] ?? 0
    this.publications.unshift({ atMs: this.#mesh.clock.nowMs, load, high, freeBytes })
    if (this.publications.length > KEPT_PUBLICATIONS) this.publications.pop()
  }
}
