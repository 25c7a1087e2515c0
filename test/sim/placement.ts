/**
 * Where the chunks of a volume are, as the shards themselves say: those of live nodes now, those of
 * dead ones at the moment in which they died. Of a replica that two of them claim (one is dead and
 * does not know better) the greater epoch counts; nobody has one that is just passing.
 */
import type { NodeId, PlacementEpoch, Run, VolumeId } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import type { SimNode } from './node.ts'

interface Place {
  readonly node: SimNode
  readonly epoch: PlacementEpoch
}

export class Placement {
  readonly #places = new Map<string, Place>()

  constructor(nodes: readonly SimNode[], volume: VolumeId) {
    for (const node of nodes) for (const run of node.runsOf(volume)) this.#add(node, run)
  }

  nodeOf(extent: number, column: number): SimNode | undefined {
    return this.#places.get(`${extent}.${column}`)?.node
  }

  hostOf(extent: number, column: number): NodeId | undefined {
    return this.nodeOf(extent, column)?.id
  }

  nodes(): SimNode[] {
    return [...new Set([...this.#places.values()].map(place => place.node))]
  }

  #add(node: SimNode, { from, to, column, epoch }: Run): void {
    for (let extent = from; extent < to; extent++) {
      const known = this.#places.get(`${extent}.${column}`)
      if (known !== undefined && compareEpochs(known.epoch, epoch) > 0) continue
      this.#places.set(`${extent}.${column}`, { node, epoch })
    }
  }
}
