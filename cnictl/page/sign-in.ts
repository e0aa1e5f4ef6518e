import { ApiError, post } from './api.ts';
import { byId, el, fill } from './dom.ts';

/** Asks for the token. The server gives a cookie for it that no script can read. */
export function showSignIn(done: () => void): void {
  const input = el('input', {
    ...{ type: 'password', id: 'token', name: 'token', autocomplete: 'current-password', required: true },
  });
  const wrong = el('p', { class: 'notice', role: 'alert' });
  const form = el(
    'form',
    { class: 'sign-in' },
    el('h1', {}, 'Sign in'),
    el('label', { for: 'token' }, 'Token of cnictl serve --token-file'),
    input,
    el('button', { type: 'submit' }, 'Sign in'),
    wrong,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void signIn();
  });
  fill(byId('main'), form);
  input.focus();

  async function signIn(): Promise<void> {
    try {
      await post('sign-in', input.value);
      byId('sign-out').hidden = false;
      done();
    } catch (error) {
      wrong.textContent =
        error instanceof ApiError && (error.status === 403 || error.status === 429)
          ? error.status === 403
            ? 'This is not the token.'
            : 'Too many wrong tokens came from this address. Try again in a minute.'
          : `The server did not answer: ${error instanceof Error ? error.message : String(error)}`;
      input.select();
    }
  }
}
