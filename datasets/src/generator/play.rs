//! Players, games and what happens in a session.

use super::config::Currency;
use super::random::{Dice, by_weight, mix};
use crate::{EventName, Family, Timestamp};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A kind of game; decides how a bet ends and how fast one follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Game {
    Slots,
    Blackjack,
    Roulette,
    Sportsbook,
    VirtualSports,
}

impl Game {
    pub(super) const ALL: [Game; 5] =
        [Game::Slots, Game::Blackjack, Game::Roulette, Game::Sportsbook, Game::VirtualSports];

    /// `game_type` in payloads.
    pub(super) fn name(self) -> &'static str {
        match self {
            Game::Slots => "slots",
            Game::Blackjack => "blackjack",
            Game::Roulette => "roulette",
            Game::Sportsbook => "sportsbook",
            Game::VirtualSports => "virtual_sports",
        }
    }

    /// The round ends at once, with a `win` or with nothing; else a `bet_settled` comes later.
    pub(super) fn is_casino(self) -> bool {
        matches!(self, Game::Slots | Game::Blackjack | Game::Roulette)
    }

    /// Chances of what a stake returns, in percent of it. The house keeps 6.0 % (slots),
    /// 0.85 % (blackjack), 2.53 % (roulette).
    fn returns(self) -> &'static [(u32, i64)] {
        match self {
            Game::Blackjack => &[(4730, 0), (3970, 200), (850, 100), (450, 250)],
            Game::Roulette => &[(6229, 0), (2919, 200), (811, 300), (41, 3600)],
            _ => &[
                (6780, 0),
                (1500, 50),
                (700, 100),
                (500, 200),
                (300, 500),
                (120, 1000),
                (60, 2500),
                (25, 5000),
                (15, 10_000),
            ],
        }
    }

    /// What a stake returns on average where odds are quoted, in parts per million.
    fn odds_return(self) -> u64 {
        if self == Game::VirtualSports { 900_000 } else { 940_000 }
    }

    /// From a bet to the next one.
    fn pause(self, dice: &mut Dice) -> i64 {
        match self {
            Game::Slots => dice.between(2500, 7000) * 1000,
            Game::Blackjack => dice.between(15, 40) * SECOND,
            Game::Roulette => dice.between(20, 50) * SECOND,
            Game::Sportsbook => dice.between(15, 180) * SECOND,
            Game::VirtualSports => dice.between(30, 120) * SECOND,
        }
    }

    fn bets(self, dice: &mut Dice) -> u32 {
        let (low, high) = match self {
            Game::Slots => (5, 60),
            Game::Blackjack | Game::Roulette => (4, 60),
            Game::Sportsbook => (2, 16),
            Game::VirtualSports => (3, 40),
        };
        u32::try_from(dice.spread(low, high)).expect("a small number")
    }
}

/// Something to bet on; empty texts are absent fields.
#[derive(Debug)]
pub(super) struct Title {
    pub(super) game: Game,
    pub(super) game_id: &'static str,
    pub(super) sport: &'static str,
    pub(super) market: &'static str,
}

const fn casino(game: Game, game_id: &'static str) -> Title {
    Title { game, game_id, sport: "", market: "" }
}

const fn market(sport: &'static str, market: &'static str) -> Title {
    Title { game: Game::Sportsbook, game_id: "", sport, market }
}

const fn virtual_sport(game_id: &'static str, sport: &'static str) -> Title {
    Title { game: Game::VirtualSports, game_id, sport, market: "winner" }
}

/// Everything on offer, with its share of sessions.
pub(super) static TITLES: [(u32, Title); 23] = [
    (14, casino(Game::Slots, "sun_temple")),
    (10, casino(Game::Slots, "book_of_dunes")),
    (8, casino(Game::Slots, "neon_fruits")),
    (6, casino(Game::Slots, "wolf_moon")),
    (5, casino(Game::Slots, "gold_rush_9")),
    (4, casino(Game::Slots, "pearl_diver")),
    (3, casino(Game::Slots, "dragon_gate")),
    (3, casino(Game::Slots, "lucky_harbour")),
    (2, casino(Game::Slots, "mega_orbit")),
    (5, casino(Game::Blackjack, "blackjack_classic")),
    (3, casino(Game::Blackjack, "blackjack_live")),
    (5, casino(Game::Roulette, "roulette_european")),
    (4, casino(Game::Roulette, "roulette_live")),
    (9, market("football", "match_winner")),
    (5, market("football", "both_to_score")),
    (3, market("football", "total_goals")),
    (5, market("tennis", "match_winner")),
    (2, market("basketball", "handicap")),
    (1, market("ice_hockey", "match_winner")),
    (1, market("horse_racing", "winner")),
    (4, virtual_sport("virtual_league", "football")),
    (3, virtual_sport("virtual_derby", "horse_racing")),
    (3, virtual_sport("virtual_sprint", "greyhounds")),
];

/// What does not change about a player; follows from the number and the seed, so nobody is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Player {
    pub(super) number: u32,
    /// Place in the configured currencies.
    pub(super) currency: u8,
    pub(super) country: &'static str,
    pub(super) channel: &'static str,
    /// The usual stake, in hundredths of a euro or what is like it.
    pub(super) stake_cents: i64,
}

impl Player {
    pub(super) fn new(number: u32, seed: u64, currencies: &[(u32, u8)], codes: &[Currency]) -> Self {
        let traits = mix(seed ^ mix(u64::from(number)));
        // Four independent choices from one number: each takes 16 bits.
        let bits = |place: u32| (traits >> (16 * place)) & 0xffff;
        let total: u64 = currencies.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let currency = *by_weight(currencies, mix(traits) % total);
        let countries: &[&str] = match codes[usize::from(currency)].code.as_str() {
            "EUR" => &["DE", "FI", "MT", "ES", "IE"],
            "GBP" => &["GB"],
            "SEK" => &["SE"],
            "USD" => &["US", "CA"],
            _ => &["ZZ"],
        };
        const STAKES: [(u32, i64); 7] = [(30, 20), (25, 50), (20, 100), (12, 200), (8, 500), (4, 1000), (1, 2500)];
        Player {
            number,
            currency,
            country: choice(countries, bits(0)),
            channel: choice(&["web", "mobile", "mobile", "app"], bits(1)),
            stake_cents: *by_weight(&STAKES, bits(2) % 100),
        }
    }
}

fn choice(of: &[&'static str], by: u64) -> &'static str {
    of[usize::try_from(by).expect("16 bits") % of.len()]
}

/// One event of a player, without what is new in every record about it (`event_id`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    pub(super) name: EventName,
    pub(super) player: Player,
    pub(super) event_time: Timestamp,
    /// Becomes the `transaction_id`; a login has none.
    pub(super) number: Option<u64>,
    pub(super) title: Option<&'static Title>,
    /// In the currency's smallest units.
    pub(super) amount: i64,
    /// The part of `amount` that is bonus money.
    pub(super) bonus: i64,
    /// In hundredths.
    pub(super) odds: Option<i64>,
    pub(super) reference: Option<(u64, Family)>,
    pub(super) status: Option<&'static str>,
}

impl Transaction {
    fn new(name: EventName, player: Player, event_time: Timestamp, number: Option<u64>) -> Self {
        Transaction {
            name,
            player,
            event_time,
            number,
            title: None,
            amount: 0,
            bonus: 0,
            odds: None,
            reference: None,
            status: None,
        }
    }

    /// The reversal of this transaction.
    pub(super) fn reversal(&self, event_time: Timestamp, number: u64) -> Option<Transaction> {
        let mut reversal = Transaction::new(EventName::Reversal, self.player, event_time, Some(number));
        reversal.reference = Some((self.number?, self.name.family()));
        Some(reversal)
    }

    pub(super) fn game(&self) -> Option<Game> {
        self.title.map(|title| title.game)
    }
}

/// Hands out the numbers of transactions.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A player at play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    player: Player,
    title: &'static Title,
    bets_left: u32,
    /// Bonus money not yet staked.
    bonus: i64,
    next: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Login,
    Deposit,
    Bonus,
    Bet,
    Win { bet: u64, amount: i64 },
    Withdraw,
}

/// What a step of a session leads to.
pub(super) struct Acted {
    pub(super) event: Transaction,
    /// The session goes on after this many microseconds.
    pub(super) pause: Option<i64>,
    /// A settlement or an approval follows after this many microseconds.
    pub(super) later: Option<(i64, Transaction)>,
}

impl Session {
    pub(super) fn new(player: Player, dice: &mut Dice) -> Self {
        let title = dice.weighted(&TITLES);
        Session { player, title, bets_left: title.game.bets(dice), bonus: 0, next: Step::Login }
    }

    pub(super) fn currency(&self) -> u8 {
        self.player.currency
    }

    pub(super) fn act(&mut self, dice: &mut Dice, currency: &Currency, at: Timestamp, numbers: &mut Numbers) -> Acted {
        match self.next {
            Step::Login => {
                self.next = *dice.weighted(&[(20, Step::Deposit), (3, Step::Bonus), (77, Step::Bet)]);
                let login = Transaction::new(EventName::Login, self.player, at, None);
                Acted { event: login, pause: Some(dice.between(3, 30) * SECOND), later: None }
            }
            Step::Deposit => {
                self.next = *dice.weighted(&[(10, Step::Bonus), (90, Step::Bet)]);
                let mut deposit = self.transaction(EventName::Deposit, at, numbers);
                let euros = *dice.weighted(&[(30, 10), (35, 20), (20, 50), (10, 100), (4, 200), (1, 500)]);
                deposit.amount = euros * 100 * currency.units_per_cent;
                deposit.status = Some("completed");
                Acted { event: deposit, pause: Some(dice.between(5, 40) * SECOND), later: None }
            }
            Step::Bonus => {
                self.next = Step::Bet;
                let mut bonus = self.transaction(EventName::BonusGranted, at, numbers);
                bonus.amount = dice.between(5, 20) * 100 * currency.units_per_cent;
                self.bonus += bonus.amount;
                Acted { event: bonus, pause: Some(dice.between(2, 10) * SECOND), later: None }
            }
            Step::Bet => self.bet(dice, currency, at, numbers),
            Step::Win { bet, amount } => {
                let mut win = self.transaction(EventName::Win, at, numbers);
                win.title = Some(self.title);
                win.amount = amount;
                win.reference = Some((bet, Family::Bet));
                Acted { event: win, pause: self.after_round(dice), later: None }
            }
            Step::Withdraw => {
                let mut withdrawal = self.transaction(EventName::Withdrawal, at, numbers);
                withdrawal.amount = dice.between(20, 300) * 100 * currency.units_per_cent;
                withdrawal.status = Some("requested");
                let approved = Transaction { status: Some("approved"), ..withdrawal };
                let wait = dice.spread(5 * MINUTE, 4 * HOUR);
                Acted { event: withdrawal, pause: None, later: Some((wait, approved)) }
            }
        }
    }

    fn transaction(&self, name: EventName, at: Timestamp, numbers: &mut Numbers) -> Transaction {
        Transaction::new(name, self.player, at, Some(numbers.next()))
    }

    fn bet(&mut self, dice: &mut Dice, currency: &Currency, at: Timestamp, numbers: &mut Numbers) -> Acted {
        let mut bet = stake(self.player, self.title, dice, currency, at, numbers.next());
        bet.bonus = bet.amount.min(self.bonus);
        self.bonus -= bet.bonus;
        self.bets_left = self.bets_left.saturating_sub(1);
        let game = self.title.game;
        if game.is_casino() {
            let amount = bet.amount * dice.weighted(game.returns()) / 100;
            let pause = match bet.number {
                Some(number) if amount > 0 => {
                    self.next = Step::Win { bet: number, amount };
                    Some(dice.between(800, 1800) * 1000)
                }
                _ => self.after_round(dice),
            };
            return Acted { event: bet, pause, later: None };
        }
        let settlement = settle(&bet, dice, numbers.next());
        let wait = match game {
            Game::VirtualSports => dice.between(60, 180) * SECOND,
            _ => dice.spread(10 * MINUTE, 6 * HOUR),
        };
        Acted { event: bet, pause: self.after_round(dice), later: Some((wait, settlement)) }
    }

    /// The pause before the next step, or the end of the session.
    fn after_round(&mut self, dice: &mut Dice) -> Option<i64> {
        if self.bets_left > 0 {
            self.next = Step::Bet;
            return Some(self.title.game.pause(dice));
        }
        self.next = Step::Withdraw;
        dice.chance(80_000).then(|| dice.between(20, 300) * SECOND)
    }
}

/// A bet on `title`.
pub(super) fn stake(
    player: Player,
    title: &'static Title,
    dice: &mut Dice,
    currency: &Currency,
    at: Timestamp,
    number: u64,
) -> Transaction {
    let mut bet = Transaction::new(EventName::BetPlaced, player, at, Some(number));
    let odd_cents = if dice.chance(200_000) { dice.between(1, 99) } else { 0 };
    let cents = player.stake_cents * dice.pick(&[1, 1, 1, 1, 2, 2, 3, 5]) + odd_cents;
    bet.title = Some(title);
    bet.amount = cents * currency.units_per_cent;
    bet.odds = (!title.game.is_casino()).then(|| dice.spread(115, 1800));
    bet
}

/// The settlement of a bet with odds: the stake times the odds, or nothing. Its time is set when it comes.
fn settle(bet: &Transaction, dice: &mut Dice, number: u64) -> Transaction {
    let odds = bet.odds.unwrap_or(100);
    let return_share = bet.game().map_or(0, Game::odds_return);
    let is_won = dice.chance(return_share * 100 / odds.unsigned_abs());
    Transaction {
        name: EventName::BetSettled,
        number: Some(number),
        amount: if is_won { (bet.amount * odds + 50) / 100 } else { 0 },
        bonus: 0,
        reference: bet.number.map(|number| (number, Family::Bet)),
        ..*bet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_has_its_edge() {
        for (game, kept) in [(Game::Slots, 600), (Game::Blackjack, 85), (Game::Roulette, 253)] {
            let returns = game.returns();
            assert_eq!(returns.iter().map(|(chance, _)| chance).sum::<u32>(), 10_000, "{game:?}");
            let returned: i64 = returns.iter().map(|(chance, percent)| i64::from(*chance) * percent).sum();
            assert_eq!(10_000 - returned / 100, kept, "{game:?}");
        }
    }

    #[test]
    fn a_bet_with_odds_is_settled_with_a_margin() {
        let currency = [Currency::new("EUR")];
        let player = Player::new(1, 1, &[(1, 0)], &currency);
        let title = &TITLES.iter().find(|(_, title)| title.game == Game::Sportsbook).unwrap().1;
        let (mut dice, mut staked, mut paid) = (Dice::new(5), 0, 0);
        for number in 0..200_000 {
            let bet = stake(player, title, &mut dice, &currency[0], Timestamp::MIN, number);
            let settlement = settle(&bet, &mut dice, number);
            assert!(settlement.amount == 0 || settlement.amount == (bet.amount * bet.odds.unwrap() + 50) / 100);
            staked += bet.amount;
            paid += settlement.amount;
        }
        let returned = paid * 1000 / staked;
        assert!((920..960).contains(&returned), "{returned} per mille");
    }

    #[test]
    fn players_keep_their_traits_and_use_every_currency() {
        let codes = [Currency::new("EUR"), Currency::new("GBP")];
        let player = |number| Player::new(number, 9, &[(80, 0), (20, 1)], &codes);
        assert_eq!(format!("{:?}", player(4711)), format!("{:?}", player(4711)));
        let pounds = (0..10_000).filter(|number| player(*number).currency == 1).count();
        assert!((1850..2150).contains(&pounds), "{pounds}");
        assert!((0..1000).map(player).all(|player| (player.currency == 1) == (player.country == "GB")));
    }
}
