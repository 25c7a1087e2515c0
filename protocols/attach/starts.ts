/**
 * Which start of a node's store may be believed: the one that was met last, or a later one. An
 * earlier one, or the same number with another nonce, is a store that was restored from a copy or
 * runs twice: acknowledged writes may be missing from it.
 */
import type { Incarnation, NodeId } from '../ids.ts'
import { isSuccessor } from '../ids.ts'

/** Why the store must not be used, in words, or undefined while nothing speaks against it. */
export function startProblem(
  node: NodeId,
  known: Incarnation | undefined,
  found: Incarnation
): string | undefined {
  if (known === undefined || isSuccessor(known, found)) return undefined
  const what =
    found.number === known.number
      ? `runs twice: another copy of it has made start ${known.number}`
      : `was restored from an older copy: it is in start ${found.number}, and start ` +
        `${known.number} of it is known`
  return `the store of node ${node} ${what}. ${REMEDY}`
}

/** The shard durably granted a greater token than it knows now. */
export function forgottenToken(node: NodeId): string {
  return (
    `the shard on node ${node} forgot the token that it granted: its store was restored from an ` +
    `older copy. ${REMEDY}`
  )
}

const REMEDY =
  'Acknowledged writes may be missing there, so nothing is read from it. Bring the newest copy ' +
  'back, or start that node once with `shoal up --rebind` if this is the newest that there is; ' +
  'then attach the volume again'
