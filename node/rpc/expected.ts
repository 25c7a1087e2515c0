/** The answer that a call is about, of the several that its protocol has. */
import { ShoalError } from '../../protocols/fault.ts'

type AnswerOf<A, Is> = Extract<A, { readonly is: Is }>

/** Throws BAD_MESSAGE if the node `name` gave an answer of another call. */
export function expected<A extends { readonly is: string }, Is extends A['is']>(
  answer: A,
  wanted: Is,
  { protocol, name }: { readonly protocol: string; readonly name: string }
): AnswerOf<A, Is> {
  if (isOf(answer, wanted)) return answer
  throw new ShoalError(
    { code: 'BAD_MESSAGE', protocol },
    `node ${name} gave an answer of another call (${answer.is})`
  )
}

function isOf<A extends { readonly is: string }, Is extends A['is']>(
  answer: A,
  wanted: Is
): answer is AnswerOf<A, Is> {
  return answer.is === wanted
}
