/**
 * All maps say the same: the mesh and, where it is kept, each volume; and of every chunk they name
 * the shard that holds it.
 */
import { effectiveHolders } from '../../crdt/holders.ts'
import type { VolumeView } from '../../crdt/types.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import type { SimNode } from './node.ts'
import type { SimVolume } from './volume.ts'

/** Where two differ, in words. */
export function mapsDiffer(nodes: readonly SimNode[]): string | undefined {
  const maps = nodes.flatMap(({ name, running }) => (running ? [{ name, map: running.map }] : []))
  const [first, ...others] = maps
  if (first === undefined) return undefined
  const mesh = textOf(first.map.mesh())
  for (const { name, map } of others) {
    if (textOf(map.mesh()) !== mesh) return `${first.name} and ${name} differ on the mesh`
  }
  for (const id of first.map.mesh().volumes.keys()) {
    const views = maps.flatMap(({ name, map }) => {
      const view = map.volume(id)
      return view === undefined ? [] : [{ name, text: textOf(view) }]
    })
    const odd = views.find(({ text }) => text !== views[0]?.text)
    if (odd !== undefined) return `${views[0]?.name} and ${odd.name} differ on volume ${id}`
  }
  return undefined
}

/**
 * Where the map of a node names another holder of a chunk than the shard that holds it, or a node
 * more than hold something: whoever attaches would wait for it.
 */
export function holdersDiffer(node: SimNode, volume: SimVolume): string | undefined {
  const view = node.running?.map.volume(volume.spec.id)
  if (view === undefined) return undefined
  const placement = volume.placement()
  for (let extent = 0; extent < extentCount(volume.spec, volume.sizeBytes); extent++) {
    for (let column = 0; column < volume.spec.columns; column++) {
      const held = placement.hostOf(extent, column)
      const claimed = claimant(view, extent, column)
      if (held === claimed) continue
      return `${node.name}: chunk ${extent}.${column} is held by ${held}, the map says ${claimed}`
    }
  }
  const holders = placement.nodes().map(({ id }) => id)
  const named = effectiveHolders(view)
  const extra = named.find(id => !holders.includes(id))
  return extra === undefined
    ? undefined
    : `${node.name}: the map names ${extra}, which holds nothing`
}

/** Read once more by itself, not by the code that is under test. */
function claimant(view: VolumeView, extent: number, column: number): NodeId | undefined {
  const runs = view.layout.flatMap(({ from, to, nodes, epoch }) => {
    const node = nodes[column]?.[0]
    return from <= extent && extent < to && node !== undefined ? [{ node, epoch }] : []
  })
  const claims = view.claims.filter(claim => claim.extent === extent && claim.column === column)
  const [greatest] = [...runs, ...claims].sort((a, b) => compareEpochs(b.epoch, a.epoch))
  return greatest?.node
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Map) return [...part].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
