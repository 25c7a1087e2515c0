/** Names that people give, checked and resolved with words that say what to type instead. */
import type { MeshView, NodeEntry } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { isName, isVolumeId, type VolumeId } from '../../protocols/ids.ts'
import { MAX_NAME_CHARS } from '../../protocols/limits.ts'
import type { ShardMap } from '../map/types.ts'

/** Throws BAD_INPUT unless `name` may name a new thing of this kind. */
export function checkName(kind: 'volume' | 'node' | 'region' | 'host', name: string): void {
  const example = { volume: 'web-1', node: 'eu-1', region: 'eu-west', host: 'rack4-a' }[kind]
  if (!isName(name)) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: kind },
      `${printable(name)} is no name for a ${kind}: use 1 to ${MAX_NAME_CHARS} of a-z, 0-9, ` +
        `"-", "_" and ".", beginning with a letter or digit, for example ${example}`
    )
  }
  if (kind === 'volume' && isVolumeId(name)) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: kind },
      `${name} looks like the id of a volume: choose another name, for example ${example}`
    )
  }
}

/** Quoted, short, and without control characters, whatever was typed. */
export function printable(text: string): string {
  const short = text.length > 40 ? `${text.slice(0, 40)}...` : text
  return JSON.stringify(short).replace(/[^ -~]/g, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The id behind a name or an id. Throws BAD_INPUT, NOT_FOUND or NAME_AMBIGUOUS. */
export function resolveVolume(map: ShardMap, nameOrId: string): VolumeId {
  if (!isVolumeId(nameOrId)) checkName('volume', nameOrId)
  return map.resolve(nameOrId)
}

export function volumeName(mesh: MeshView, id: VolumeId): string {
  return mesh.volumes.get(id)?.name ?? id
}

/** Throws NAME_TAKEN if a live volume, or more than one, has the name. */
export function checkNameFree(mesh: MeshView, name: string): void {
  for (const entry of mesh.volumes.values()) {
    if (entry.name !== name) continue
    throw new ShoalError(
      { code: 'NAME_TAKEN', name },
      `there is a volume named ${name} already (id ${entry.id}): choose another name`
    )
  }
}

/** The live node with this name or id. Throws NOT_FOUND or NAME_AMBIGUOUS. */
export function resolveNode(mesh: MeshView, nameOrId: string): NodeEntry {
  const nodes = [...mesh.nodes.values()].filter(node => node.leftAt === undefined)
  const found = nodes.filter(node => node.id === nameOrId || node.name === nameOrId)
  const [only] = found
  if (found.length > 1) {
    const ids = found.map(node => node.id)
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: nameOrId, ids },
      `${found.length} nodes are named ${nameOrId}: use an id, one of ${ids.join(', ')}`
    )
  }
  if (only === undefined) {
    throw new ShoalError(
      { code: 'NOT_FOUND', what: nameOrId },
      `there is no node ${printable(nameOrId)}: \`shoal status\` lists them`
    )
  }
  return only
}

/** Regions that a live node is in, sorted. */
export function regionsOf(mesh: MeshView): string[] {
  const regions = [...mesh.nodes.values()]
    .filter(node => node.leftAt === undefined && !mesh.revocations.has(node.id))
    .map(node => node.region)
  return [...new Set(regions)].sort()
}
