/**
 * Notices that this store is not the newest of its identity: restored from a backup, or a copy that
 * runs somewhere else. The map remembers each start of every node; a start of ours that is greater
 * than the present one, or equal with another nonce, was made by other bytes than these.
 *
 * Invariant: a store that was found out never serves again in this process.
 */
import type { MeshView } from '../crdt/types.ts'
import type { Incarnation, NodeId } from '../protocols/ids.ts'

/** Why these bytes must not be served, in words, or undefined while nothing speaks against it. */
export function foundCopy(
  view: MeshView,
  self: NodeId,
  incarnation: Incarnation
): string | undefined {
  const known = view.nodes.get(self)?.incarnation
  if (known === undefined || known.number < incarnation.number) return undefined
  if (known.number === incarnation.number && known.nonce === incarnation.nonce) return undefined
  const what =
    known.number === incarnation.number
      ? 'another copy of this store has been started'
      : `this store has been started ${incarnation.number} times, but the mesh knows of start ` +
        `${known.number}: it was restored from an older copy`
  return (
    `${what}. It serves nothing, for acknowledged writes may be missing here. If this is the ` +
    'newest copy that there is, start once with `shoal up --rebind`'
  )
}
