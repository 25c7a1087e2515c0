/**
 * The load of this node: measured on the data path, remembered and foretold by the keeper, told to
 * the others.
 *
 *   monitor (node/shard) --second--> Sampler --> keeper thread: series, forecasts, training
 *                                       \--> Recent               |
 *   gossip <-- own sample <-- newest forecasts <------------------/
 *   handoff: a chunk left --> Carrier --> keeper: its part of the history --> target
 *
 * Invariants: nothing here waits on the data path, and nothing of it depends on what is foretold;
 * each synchronous piece of it in the daemon's own thread is timed.
 */
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { Published } from '../../protocols/forecast/subject.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import { heldRanges } from '../moves/held.ts'
import { countChunks } from '../moves/ranges.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { NodeLoad } from '../shard/monitor.ts'
import type { ShardServer } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import { Carrier } from './carrier.ts'
import { giveTo } from './give.ts'
import { createLoadGossip, type LoadGossip } from './gossip.ts'
import {
  type KeeperAnswers,
  type KeeperAsk,
  type KeeperAskOf,
  type KeeperNews,
  type KeeperState,
  type KeyedRecord,
  NODE_KEY
} from './keeper-messages.ts'
import { KeeperPort } from './keeper-port.ts'
import { ownSample } from './own-sample.ts'
import { type PieceSummary, PieceTimes } from './piece-times.ts'
import { Recent } from './recent.ts'
import { Sampler } from './sampler.ts'
import { Subjects } from './subjects.ts'

export interface LoadOptions {
  /** Of this node, and the number of this start of it. */
  readonly region: string
  readonly start: number
  /** Time as it is, for waiting and for what things cost. */
  readonly clock: Clock
  /** What load is measured, kept, foretold and told by (scaled-clock.ts). */
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Network
  readonly rpc: Rpc
  readonly map: {
    readonly mesh: () => MeshView
    readonly volume: (id: VolumeId) => VolumeView | undefined
    /** Called whenever what it says of a volume changed. */
    readonly onVolume: (listener: (id: VolumeId) => void) => void
  }
  /** Absent on a node without capacity. */
  readonly shards: Pick<ShardServer, 'monitor' | 'replicas'> | undefined
  readonly store: ChunkStore | undefined
  /** The time zone of this host. */
  readonly zone: string
  /** What a calibration found: units per second at the reference mix, and what is used now. */
  readonly capacity: () => number | undefined
  readonly shareOf: (record: LoadRecord) => number | undefined
  /** Part of its capacity above which the node counts as overloaded; absent: THRESHOLD_PART. */
  readonly thresholdPart?: () => number
  /** Members to stay connected to, whenever they change: those who hear our samples. */
  readonly onGroup?: (members: readonly NodeId[]) => void
  /** Starts the keeper, and starts it anew when it fails; `onStart` each time. */
  readonly runKeeper: (port: KeeperPort, onStart: () => void) => { close: () => Promise<void> }
}

export class Load {
  readonly options: LoadOptions
  readonly subjects: Subjects
  readonly gossip: LoadGossip
  readonly #recent = new Recent()
  readonly #times = new PieceTimes()
  readonly #forecasts = new Map<string, Published>()
  readonly #port: KeeperPort
  readonly #keeper: { close: () => Promise<void> }
  readonly #sampler: Sampler
  readonly #carrier: Carrier
  readonly #forecastListeners: Array<(keys: readonly string[]) => void> = []
  #state: KeeperState | undefined
  #isLooking = false
  #isClosed = false

  constructor(options: LoadOptions) {
    const { clock, loadClock, store } = options
    this.options = options
    this.#port = new KeeperPort(clock, news => this.timed(() => this.#learn(news)))
    this.subjects = new Subjects({
      ...options,
      shards: () => store?.shards() ?? [],
      volume: id => options.map.volume(id),
      mesh: () => options.map.mesh(),
      tell: message => {
        if (message.tell === 'gone') this.#forecasts.delete(message.key)
        this.#port.tell(message)
      }
    })
    this.#carrier = this.#createCarrier()
    this.#keeper = options.runKeeper(this.#port, () => this.timed(() => this.#begin()))
    this.gossip = createLoadGossip({
      ...options,
      clock: loadClock,
      mesh: () => options.map.mesh(),
      ownSample: () => this.timed(() => ownSample(this))
    })
    this.#sampler = new Sampler(loadClock, (second, count) =>
      this.timed(() => this.#tick(second, count))
    )
    this.#sampler.start()
    options.map.onVolume(id => this.#followVolume(id))
  }

  /** Of the last seconds. */
  recent(key: string): LoadRecord {
    return this.#recent.of(key)
  }

  forecast(key: string): Published | undefined {
    return this.#forecasts.get(key)
  }

  /** Told which subjects have a newer forecast; must not throw. */
  onForecasts(listener: (keys: readonly string[]) => void): void {
    this.#forecastListeners.push(listener)
  }

  /** How far the keeper is; undefined before it said so. */
  state(): KeeperState | undefined {
    return this.#state
  }

  /** Of the synchronous pieces of all this in the daemon's own thread, in microseconds. */
  pieceTimes(): PieceSummary {
    return this.#times.summary()
  }

  /** A synchronous piece of work in the daemon's own thread, counted in `pieceTimes`. */
  timed<T>(piece: () => T): T {
    const startedMs = this.options.clock.monotonicMs()
    try {
      return piece()
    } finally {
      this.#times.record(this.options.clock.monotonicMs() - startedMs)
    }
  }

  ask<Q extends KeeperAsk['ask']>(question: KeeperAskOf<Q>): Promise<KeeperAnswers[Q]> {
    return this.#port.ask(question)
  }

  /** A chunk is held by another node now, and its release here is confirmed. Never throws. */
  passed(chunk: ChunkKey, to: NodeId): void {
    try {
      this.timed(() => this.#carrier.passed(chunk, to))
    } catch (error) {
      // A handoff that is done does not fail because of what is remembered of its load.
      this.options.log.error({ chunk, error: messageOf(error) }, 'history stays behind its chunk')
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#sampler.stop()
    this.#carrier.close()
    this.gossip.close()
    await this.#keeper.close()
  }

  /** A keeper that knows of nothing is there. */
  #begin(): void {
    this.subjects.begin()
    this.#carrier.resume().catch((error: unknown) => {
      const why = { error: messageOf(error) }
      this.options.log.warn(why, 'history that was on its way stays here for now')
    })
  }

  /** Declared patterns and zones count at once; what changes in one tick is looked at once. */
  #followVolume(id: VolumeId): void {
    if (this.#isLooking || !this.subjects.has(id)) return
    this.#isLooking = true
    this.options.clock.soon(() => {
      this.#isLooking = false
      if (!this.#isClosed) this.timed(() => this.subjects.look())
    })
  }

  #tick(second: number, count: number): void {
    const tick = this.options.shards?.monitor.turn(second, count)
    if (tick === undefined) return
    const seconds = keyed(tick.second)
    this.#recent.add(second, seconds)
    if (seconds.some(({ key }) => !this.subjects.has(key))) this.subjects.look()
    const { minute } = tick
    // A second that is absent of its minute was idle: an idle node does not wake its keeper for it.
    if (minute === undefined && (tick.second?.shards.length ?? 0) === 0) return
    const told = minute && {
      slot: minute.minute,
      records: keyed(minute),
      ...(minute.minutes > 1 && { count: minute.minutes })
    }
    this.#port.tell({
      tell: 'tick',
      second,
      seconds,
      ...(count > 1 && { count }),
      ...(told && { minute: told })
    })
    if (minute !== undefined) this.subjects.look()
  }

  #learn(news: KeeperNews): void {
    if (news.news === 'state') this.#state = news.state
    else if (news.news === 'trouble') this.options.log.warn({}, news.what)
    else {
      for (const { key, forecast } of news.forecasts) {
        if (this.subjects.has(key)) this.#forecasts.set(key, forecast)
      }
      const keys = news.forecasts.map(({ key }) => key)
      for (const listener of this.#forecastListeners) listener(keys)
    }
  }

  #createCarrier(): Carrier {
    const { shards, store } = this.options
    return new Carrier({
      ...this.options,
      partOf: chunk => {
        const { now = 0, byHour } = shards?.replicas.shareOf(chunk) ?? {}
        const state = shards?.replicas.takeHeat(chunk)
        const heat = state === undefined ? undefined : { chunk, state }
        return { share: now > 0 ? now : this.#evenShare(chunk.volume), byHour, heat }
      },
      isEmpty: volume => (store?.shard(volume)?.runs.length ?? 0) === 0,
      take: (volume, id, to, part) => this.ask({ ask: 'take', key: volume, id, to, part }),
      undelivered: () => this.ask({ ask: 'undelivered' }),
      give: (piece, heat) => giveTo(this.options.rpc, piece, heat),
      delivered: id => this.#port.tell({ tell: 'delivered', id }),
      gone: volume => this.subjects.forget(volume)
    })
  }

  /** Of a chunk that just left a shard of which no heat is known, as after a restart; else 0. */
  #evenShare(volume: VolumeId): number {
    const { shards, store } = this.options
    const head = store?.shard(volume)
    const isKnown = (shards?.replicas.hottest(volume, 1).length ?? 0) > 0
    return isKnown || head === undefined ? 0 : 1 / (countChunks(heldRanges(head)) + 1)
  }
}

function keyed(load: NodeLoad | undefined): KeyedRecord[] {
  if (load === undefined) return []
  const shards = load.shards.map(({ volume, record }) => ({ key: volume, record }))
  return [...shards, { key: NODE_KEY, record: load.node }]
}
