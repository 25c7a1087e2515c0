/** Three whole nodes with two volumes on the first: alone each is fine there, together they are too much. */
import type { VolumeId } from '../../protocols/ids.ts'
import { BalanceMesh, type BalanceNode, morning } from './balance-mesh.ts'

export interface Trio {
  readonly mesh: BalanceMesh
  readonly a: BalanceNode
  readonly b: BalanceNode
  readonly c: BalanceNode
  readonly one: VolumeId
  readonly two: VolumeId
}

/** Everybody foretells something, and has heard of everybody. */
export async function startTrio(): Promise<Trio> {
  const mesh = await BalanceMesh.start(['a', 'b', 'c'])
  const [a, b, c] = [mesh.node(0), mesh.node(1), mesh.node(2)]
  const one = await mesh.createVolume(1, a)
  const two = await mesh.createVolume(2, a)
  await mesh.settle()
  return { mesh, a, b, c, one, two }
}

/** The peak of both together is above what `a` should have; each alone is not. */
export async function foretellTooMuch({ a, one, two }: Pick<Trio, 'a' | 'one' | 'two'>) {
  await a.learn(one, morning(700))
  await a.learn(two, morning(600))
}

export function isOver(node: BalanceNode): boolean {
  return node.balance.status().underWay.length === 0
}

export function ended(node: BalanceNode) {
  return node.moves.list(100).moves.filter(({ endedAt }) => endedAt !== undefined)
}

/** Chunks of both volumes that this node holds. */
export function held({ one, two }: Trio, node: BalanceNode): number {
  return node.holds(one) + node.holds(two)
}

/** The first node has moved something, and nothing of it is under way. */
export async function hasMoved({ mesh, a }: Trio): Promise<void> {
  await mesh.until(() => ended(a).length > 0 && isOver(a))
}
