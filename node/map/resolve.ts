/** What people call a volume, to its id: the id itself, or a name that exactly one volume has. */
import type { MeshView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { isVolumeId } from '../../protocols/ids.ts'
import { MAX_NAME_CHARS } from '../../protocols/limits.ts'

/** Throws NOT_FOUND or NAME_AMBIGUOUS. */
export function resolveVolume(mesh: MeshView, nameOrId: string): VolumeId {
  if (isVolumeId(nameOrId) && mesh.volumes.has(nameOrId)) return nameOrId
  const ids = mesh.ambiguousNames.get(nameOrId)
  if (ids !== undefined) throw ambiguous(nameOrId, ids)
  for (const { id, name } of mesh.volumes.values()) if (name === nameOrId) return id
  throw notFound(nameOrId)
}

export function notFound(nameOrId: string): ShoalError {
  const what = nameOrId.slice(0, MAX_NAME_CHARS)
  const message = `there is no volume ${JSON.stringify(what)}; \`shoal volume list\` names them all`
  return new ShoalError({ code: 'NOT_FOUND', what }, message)
}

function ambiguous(name: string, ids: readonly VolumeId[]): ShoalError {
  const message =
    `${ids.length} volumes are named ${name}: ${ids.join(', ')}. ` +
    'Name the one you mean by its id, and rename one of them'
  return new ShoalError({ code: 'NAME_AMBIGUOUS', name, ids: [...ids] }, message)
}
