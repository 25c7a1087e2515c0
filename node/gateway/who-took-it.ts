/** Words for people: who has a volume that this gateway lost. */
import { describeHolder } from '../../protocols/attach/machine.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { Log } from '../ports.ts'
import type { ShardCalls } from './shard-calls.ts'

/** As the shard on `node` says; undefined if it does not. */
export async function whoTookIt(
  node: NodeId,
  volume: VolumeId,
  calls: ShardCalls,
  log: Log
): Promise<string | undefined> {
  try {
    const answer = await calls(node, { call: 'query', volume })
    if (answer.is === 'removed') return 'the volume was deleted'
    if (answer.is !== 'state' || answer.state.holder === undefined) return undefined
    return `the volume was taken: it is attached at ${describeHolder(answer.state.holder)}`
  } catch (error) {
    log.debug({ node, why: messageOf(error) }, 'could not learn who took the volume')
    return undefined
  }
}
