/**
 * Whole nodes in one process that foretell their load and balance it: store, shard server, map,
 * gateway, handoffs and moves on the real clock, load and balancing on a clock that the test turns.
 * Loads come from imported history, so that what is foretold is known.
 */
import type { NodeEntry } from '../../crdt/types.ts'
import { Load } from '../../node/load/load.ts'
import { serveLoad } from '../../node/load/serve.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { ChunkKey, VolumeId } from '../../protocols/ids.ts'
import { GiB, KiB } from '../../protocols/limits.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { seededRandom } from './gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode } from './handoff-mesh.ts'
import { TurnedClock } from './load-clock.ts'
import { keeperHere } from './load-keeper.ts'
import { MemorySeriesFiles } from './series-memory-files.ts'
import { quietLog, until } from './shard-harness.ts'

/** Units per second that a node of these meshes can do. */
export const CAPACITY = 1_000
export const CHUNK_DATA_BYTES = 64 * KiB
/** A quarter to eight on a Monday: the peak of the pattern is at ten. */
export const START_MS = Date.UTC(2026, 2, 9, 7, 45)
const LEARNED_DAYS = 3
const DAY_MINUTES = 1_440

export interface BalanceNodeOptions {
  readonly region?: string
  readonly capacity?: number | undefined
}

export class BalanceNode {
  readonly node: HandoffNode
  readonly mesh: BalanceMesh
  readonly region: string
  readonly files = new MemorySeriesFiles()
  capacity: number | undefined
  #load: Load | undefined
  #starts = 0

  constructor(mesh: BalanceMesh, node: HandoffNode, options: BalanceNodeOptions) {
    this.mesh = mesh
    this.node = node
    this.region = options.region ?? `region-${node.name}`
    this.capacity = 'capacity' in options ? options.capacity : CAPACITY
  }

  get id() {
    return this.node.id
  }

  get load(): Load {
    if (this.#load === undefined) throw new Error(`${this.node.name} is down`)
    return this.#load
  }

  /** Once its services run. */
  begin(): void {
    const { clock } = this.mesh
    const { parts } = this.node
    this.#starts += 1
    const load = new Load({
      ...parts,
      region: this.region,
      start: this.#starts,
      clock,
      random: seededRandom(this.mesh.handoffs.nextSeed()),
      log: quietLog,
      network: this.mesh.handoffs.mesh.join(this.id),
      zone: 'UTC',
      capacity: () => this.capacity,
      shareOf: () => undefined,
      runKeeper: keeperHere(this.files, clock)
    })
    serveLoad(load)
    this.#load = load
    this.node.passed = (chunk, to) => load.passed(chunk, to)
    parts.map.announceNode(this.#entry())
  }

  #entry(): NodeEntry {
    const { id, region, node } = this
    const incarnation = node.parts.incarnation
    const what = { role: 'admin', capacityBytes: GiB, addresses: [], version: '0' } as const
    return { id, name: node.name, region, host: `host-${node.name}`, incarnation, ...what }
  }
}

export class BalanceMesh {
  readonly handoffs = new HandoffMesh()
  readonly clock = new TurnedClock(START_MS)
  readonly nodes: BalanceNode[] = []
}
