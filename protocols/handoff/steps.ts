/**
 * The steps of a handoff by name, as its drivers announce them to whoever observes: each the moment
 * just before or just after something durable, sent or decided. For metrics and for tests that let
 * a node die at every one of them.
 */
export const SOURCE_STEPS = [
  'source: offering',
  'source: copying',
  'source: verifying',
  'source: asking',
  'source: frozen',
  'source: preparing',
  'source: committing',
  'source: committed',
  'source: confirming',
  'source: freeing',
  'source: freed',
  'source: aborted'
] as const

export const TARGET_STEPS = [
  'target: reserving',
  'target: reserved',
  'target: storing',
  'target: verified',
  'target: preparing',
  'target: prepared',
  'target: holding',
  'target: held',
  'target: dropping'
] as const

export const HOLDER_STEPS = [
  'holder: stopping changes',
  'holder: approved',
  'holder: switching',
  'holder: resumed'
] as const

export const MOVER_STEPS = ['mover: taking', 'mover: taken', 'mover: letting go'] as const

export const HANDOFF_STEPS = [
  ...SOURCE_STEPS,
  ...TARGET_STEPS,
  ...HOLDER_STEPS,
  ...MOVER_STEPS
] as const
export type HandoffStep = (typeof HANDOFF_STEPS)[number]

export type ObserveStep = (step: HandoffStep) => void
