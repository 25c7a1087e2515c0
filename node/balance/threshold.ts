/** Above which load this node counts as overloaded. */
import type { NodeSettings } from '../../protocols/balance/settings.ts'
import { NODE_KEY } from '../load/keeper-messages.ts'
import type { Load } from '../load/load.ts'

export interface Limit {
  readonly threshold: number
  readonly from: 'capacity' | 'usual'
}

/** A part of what it can do; of a node of which that is not known, what it seldom exceeds. */
export function thresholdOf(
  load: Pick<Load, 'options' | 'forecast'>,
  { thresholdPart }: NodeSettings
): Limit | undefined {
  const capacity = load.options.capacity()
  if (capacity !== undefined) return { threshold: thresholdPart * capacity, from: 'capacity' }
  const usual = load.forecast(NODE_KEY)?.threshold
  return usual === undefined ? undefined : { threshold: usual.load, from: 'usual' }
}
