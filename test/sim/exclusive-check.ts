/**
 * Never two shards for one replica: no two live nodes hold overlapping extents of one column, and
 * the epoch at which a chunk is held never goes back. Nor is one released by the approval of a
 * token that was overtaken.
 */
import type { HandoffId, PlacementEpoch, Run } from '../../protocols/ids.ts'
import { compareEpochs, compareTokens } from '../../protocols/ids.ts'
import type { SimNode } from './node.ts'

interface HeldRun extends Run {
  readonly node: string
  readonly volume: string
}

export class ExclusiveCheck {
  /** The greatest epoch at which each chunk was held. */
  readonly #greatest = new Map<string, PlacementEpoch>()
  /** Releases that were looked at, or that an earlier start of their node left. */
  readonly #released = new Set<HandoffId>()

  /** What is wrong, in words. */
  check(nodes: readonly SimNode[]): string | undefined {
    const held = nodes.flatMap(runsOf)
    for (const [i, run] of held.entries()) {
      const other = held.slice(i + 1).find(next => next.node !== run.node && overlap(run, next))
      if (other !== undefined) {
        return `${run.node} and ${other.node} both hold column ${run.column} of ${run.volume}`
      }
      const wrong = this.#advance(run)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

  /** The node has just started: what it released before, it released before. */
  started(node: SimNode): void {
    for (const { handoff } of releasesOf(node)) this.#released.add(handoff)
  }

  /** The node has just committed a handoff, in this very turn. */
  committed(node: SimNode): string | undefined {
    for (const { handoff, isGreatest } of releasesOf(node)) {
      if (this.#released.has(handoff)) continue
      this.#released.add(handoff)
      if (!isGreatest) return `${node.name} released a chunk by a token that was overtaken`
    }
    return undefined
  }

  #advance(run: HeldRun): string | undefined {
    for (let extent = run.from; extent < run.to; extent++) {
      const { volume, generation, column, replica, epoch, node } = run
      const name = `${volume} ${generation} ${column} ${replica} ${extent}`
      const known = this.#greatest.get(name)
      if (known !== undefined && compareEpochs(epoch, known) < 0) {
        return `${node} holds extent ${extent} of ${volume} at an epoch that was passed`
      }
      this.#greatest.set(name, epoch)
    }
    return undefined
  }
}

/** Those not confirmed yet, and whether the token of each is its shard's. */
function releasesOf(node: SimNode): Array<{ handoff: HandoffId; isGreatest: boolean }> {
  const { replicas } = node.running?.shards ?? {}
  return (node.running?.shards?.volumes() ?? []).flatMap(volume => {
    const head = replicas?.head(volume)
    return (head?.released ?? []).flatMap(({ handoff, run }) => {
      if (head === undefined || handoff === undefined) return []
      return [{ handoff, isGreatest: compareTokens(run.epoch.token, head.token) === 0 }]
    })
  })
}

function runsOf(node: SimNode): HeldRun[] {
  const shards = node.running?.shards
  const store = node.running?.store
  if (store === undefined || shards?.stats().outOfService !== undefined) return []
  return store
    .shards()
    .flatMap(record =>
      record.runs.map(run => ({ ...run, node: node.name, volume: record.spec.id }))
    )
}

function overlap(a: HeldRun, b: HeldRun): boolean {
  return (
    a.volume === b.volume &&
    a.generation === b.generation &&
    a.column === b.column &&
    a.replica === b.replica &&
    a.from < b.to &&
    b.from < a.to
  )
}
