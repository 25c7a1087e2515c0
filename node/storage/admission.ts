/** What a change finds where it wants to go, and the refusals for want of room. */
import { ShoalError } from '../../protocols/fault.ts'
import { Kind } from './change.ts'
import type { Chunk } from './chunk.ts'
import { noSpace } from './health.ts'
import { BlockState } from './table.ts'

const BUSY_RETRY_MS = 20

/** True if all these blocks are holes and no change of them is on its way. */
export function isUntouched(chunk: Chunk, first: number, count: number): boolean {
  if (chunk.latest.size > 0) {
    for (let block = first; block < first + count; block++) {
      if (chunk.latest.has(block)) return false
    }
  }
  return chunk.table?.isAllHole(first, count) === true
}

/** Blocks that a write would newly allocate; without a table the most that it may be. */
export function countNew(chunk: Chunk, first: number, count: number): number {
  const { table, latest } = chunk
  let added = 0
  for (let block = first; block < first + count; block++) {
    const change = latest.get(block)
    if (change === undefined) {
      if (table === undefined || table.state(block) !== BlockState.data) added++
    } else if (change.kind === Kind.trim || change.kind === Kind.lost) added++
  }
  return added
}

export function full(): ShoalError {
  return noSpace('this node has no room for the change; free space or trim data')
}

export function busy(): ShoalError {
  return new ShoalError(
    { code: 'BUSY', retryAfterMs: BUSY_RETRY_MS },
    'too many changes wait for the disk'
  )
}
