/** The Balance port in memory: settings that are kept, a status and a plan that a test says. */
import type {
  Balance,
  BalanceStatus,
  NodeSettings,
  NodeSettingsChange,
  PlanView
} from '../../node/balance/types.ts'
import { ShoalError } from '../../protocols/fault.ts'

export class MemoryBalance implements Balance {
  settings: NodeSettings = {
    isPaused: false,
    thresholdPart: 0.8,
    horizonMinutes: 60,
    movesPerHour: 12
  }
  /** What a status says beside the settings. */
  said: Partial<BalanceStatus> = {}
  planned: Partial<PlanView> = {}
  /** Set: it refuses every change with these words. */
  refusal: string | undefined
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  readonly status = (): BalanceStatus => {
    const { settings } = this
    return {
      at: this.#now(),
      settings,
      ...(settings.isPaused ? { idle: 'paused' } : {}),
      load: 0,
      incurable: [],
      underWay: [],
      promises: [],
      movesLeft: settings.movesPerHour,
      problems: [],
      ...this.said
    }
  }

  readonly set = async (change: NodeSettingsChange): Promise<NodeSettings> => {
    if (this.refusal !== undefined) throw new ShoalError({ code: 'BAD_INPUT' }, this.refusal)
    const { bytesPerHour, regions, ...rest } = { ...this.settings, ...change }
    this.settings = {
      ...rest,
      ...(bytesPerHour == null ? {} : { bytesPerHour }),
      ...(regions == null ? {} : { regions })
    }
    return this.settings
  }

  readonly plan = (): PlanView => ({
    at: this.#now(),
    wants: [],
    incurable: [],
    left: [],
    ...this.planned
  })

  readonly problems = (): readonly string[] => []

  readonly close = async (): Promise<void> => {}
}
