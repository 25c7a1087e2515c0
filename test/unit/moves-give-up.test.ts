// Goal: a node that is given up takes nothing along that exists elsewhere: its open handoffs are
// found and settled with whoever may decide, and what is lost is named before.
// Method: shards in memory with the records of handoffs that stopped half way; the approval protocol
// of the gateway and the mover are ports of the test.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  explainGiveUp,
  type GiveUpSettlers,
  type GrantRequest,
  type Settled,
  settleGivenUp
} from '../../node/moves/give-up.ts'
import {
  type ApprovalAnswer,
  approvalRequestSchema,
  HANDOFF_APPROVAL_PROTOCOL
} from '../../protocols/handoff/calls.ts'
import { prepare, release, reserve } from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, VolumeId } from '../../protocols/ids.ts'
import { GiB } from '../../protocols/limits.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'

const PREPARED = '00000000000000a1' as HandoffId
const COPYING = '00000000000000a2' as HandoffId
const RELEASED = '00000000000000a3' as HandoffId

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
/** Column 0, column 1, and neither. */
let gone: CliNode
let other: CliNode
let spare: CliNode

beforeEach(async () => {
  mesh = await smallMesh()
  const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 2 })
  id = created.id
  const nodes = [...mesh.nodes.values()].filter(node => node.store !== undefined)
  const [one, two] = created.nodes.map(at => nodes.find(node => node.id === at))
  const three = nodes.find(node => node !== one && node !== two)
  if (one === undefined || two === undefined || three === undefined) throw new Error('three nodes')
  gone = one
  other = two
  spare = three
  await until(() => nodes.every(node => node.context.map.mesh().volumes.has(id)))
})
afterEach(() => mesh.close())

const chunk = (extent: number, column: number): ChunkKey => ({
  volume: id,
  extent,
  generation: 0,
  column,
  replica: 0
})

function headOf(node: CliNode): ShardHead {
  const head = node.store?.shard(id)
  if (head === undefined) throw new Error('no shard')
  return head
}

function must(head: ShardHead | string): ShardHead {
  if (typeof head === 'string') throw new Error(head)
  return head
}

/** The records that handoffs leave when everything stops; the nodes start again with them. */
async function stopHalfWay(): Promise<void> {
  const source = headOf(gone)
  const { spec, sizeBytes, token, writer } = source
  const base = { spec, sizeBytes, token, writer, reserveBytes: 0 }
  const epoch = { token, counter: 7 }
  const hello = (handoff: HandoffId, extent: number) => ({
    ...base,
    handoff,
    chunk: chunk(extent, 0),
    epoch
  })
  let there = must(reserve(undefined, gone.id, hello(PREPARED, 0)))
  there = must(prepare(there, PREPARED, { sizeBytes, token, writer, epoch, digest: '' }))
  there = must(reserve(there, gone.id, hello(COPYING, 1)))
  await spare.store?.saveShard(there)
  const heldAt = headOf(other).runs[0]?.epoch ?? epoch
  const passing = { chunk: chunk(2, 1), handoff: RELEASED, to: gone.id, token, heldAt, epoch }
  await other.store?.saveShard(must(release(headOf(other), passing)))
  spare = await restart(spare)
  other = await restart(other)
}

async function restart(node: CliNode): Promise<CliNode> {
  mesh.kill(node.name)
  const again = await mesh.start(node.name, node.context.self.region, 'storage')
  await mesh.converged()
  await until(() => mesh.gate.context.network.peers().includes(node.id))
  return again
}

const none: GiveUpSettlers = { grantAsMover: () => Promise.reject(new Error('not expected')) }

async function settle(settlers: GiveUpSettlers | undefined, acceptLoss = false) {
  const plan = await explainGiveUp(mesh.gate.context, gone.id)
  const options = { node: gone.id, acceptLoss }
  const settled = await settleGivenUp(mesh.gate.context, settlers, plan, options)
  return new Map(settled.map((one): [HandoffId, Settled] => [one.handoff, one]))
}

describe('giving a node up', () => {
  it('counts as lost only chunks of which no whole copy is elsewhere', async () => {
    const before = await explainGiveUp(mesh.gate.context, gone.id)
    expect(before.losses).toEqual([{ volume: id, chunks: 16, mostBytes: GiB / 2 }])
    await stopHalfWay()
    const plan = await explainGiveUp(mesh.gate.context, gone.id)
    // One chunk is prepared elsewhere; the one released to the node was never the node's.
    expect(plan.losses).toMatchObject([{ chunks: 15 }])
    expect(plan.handoffs.map(({ handoff, is }) => [handoff, is]).sort()).toEqual([
      [PREPARED, 'prepared'],
      [COPYING, 'copying'],
      [RELEASED, 'released']
    ])
    expect(plan.silent).toEqual([])
  })

  it('asks the gateway that has the volume to grant what is prepared', async () => {
    await mesh.gate.volumes.attach(id, {})
    await stopHalfWay()
    const asked: unknown[] = []
    answerWith({ is: 'granted', epoch: { token: headOf(other).token, counter: 9 } }, asked)
    const settled = await settle(none)
    expect(settled.get(PREPARED)).toMatchObject({ outcome: 'granted' })
    expect(settled.get(COPYING)).toMatchObject({ outcome: 'by-itself' })
    expect(settled.get(RELEASED)).toMatchObject({ outcome: 'by-itself' })
    expect(asked).toEqual([
      {
        call: 'grant',
        handoff: PREPARED,
        chunk: chunk(0, 0),
        source: gone.id,
        target: spare.id,
        acceptLoss: false
      }
    ])
  })

  it('tells what the holder refuses, and passes the word of the operator on', async () => {
    await mesh.gate.volumes.attach(id, {})
    await stopHalfWay()
    const asked: unknown[] = []
    answerWith({ is: 'refused', why: 'it may lack changes', retryAfterMs: 0 }, asked)
    expect((await settle(none)).get(PREPARED)).toMatchObject({
      outcome: 'refused',
      why: 'it may lack changes'
    })
    await settle(none, true)
    expect(asked).toMatchObject([{ acceptLoss: false }, { acceptLoss: true }])
  })

  it('lets a mover grant where nobody has the volume', async () => {
    await stopHalfWay()
    const asked: GrantRequest[] = []
    const settlers: GiveUpSettlers = {
      grantAsMover: async request => {
        asked.push(request)
        return { is: 'granted', epoch: { token: headOf(other).token, counter: 1 } }
      }
    }
    expect((await settle(settlers)).get(PREPARED)).toMatchObject({ outcome: 'granted' })
    expect(asked).toMatchObject([{ handoff: PREPARED, target: spare.id }])
    expect((await settle(undefined)).get(PREPARED)).toMatchObject({ outcome: 'refused' })
    const broken = { grantAsMover: () => Promise.reject(new Error('no luck')) }
    expect((await settle(broken)).get(PREPARED)).toMatchObject({
      outcome: 'refused',
      why: 'no luck'
    })
  })

  it('names volumes that were attached there, and nodes that did not answer', async () => {
    await until(() => gone.context.map.volume(id) !== undefined)
    await gone.volumes.attach(id, {})
    expect((await explainGiveUp(mesh.gate.context, gone.id)).attached).toEqual([id])
    mesh.network.cut(mesh.gate.id, other.id)
    const plan = await explainGiveUp(mesh.gate.context, gone.id)
    expect(plan.silent).toEqual([other.id])
  })
})

function answerWith(answer: ApprovalAnswer, asked: unknown[]): void {
  mesh.gate.context.rpc.serve(
    HANDOFF_APPROVAL_PROTOCOL,
    approvalRequestSchema,
    async (_from, request) => {
      asked.push(request)
      return answer
    }
  )
}
