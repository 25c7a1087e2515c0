/** Deliberate mistakes, each of which the checks must find: a safeguard that is not there. */
import { MoveHistory } from '../../../protocols/balance/history-of-moves.ts'

export interface Mistakes {
  /** A bidder bids as if it had promised nothing. */
  readonly ignoresPromises?: boolean
  /** Nothing is remembered of what left and came: no cool-down. */
  readonly forgetsMoves?: boolean
  /** What is under way is looked at as if it were not, and offered again. */
  readonly offersTwice?: boolean
}

export function historyWith({ forgetsMoves }: Mistakes): MoveHistory {
  return forgetsMoves === true ? new ForgetfulHistory() : new MoveHistory()
}

class ForgetfulHistory extends MoveHistory {
  override returnsAt(): undefined {
    return undefined
  }

  override wasHere(): boolean {
    return false
  }

  override leavesAt(): undefined {
    return undefined
  }
}
