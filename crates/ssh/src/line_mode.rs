//! How a terminal treats what is typed and shown (RFC 4254 §8).

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios,
};
use std::os::fd::AsFd;

use crate::encoding::Reader;

/// Ends the list of modes.
const END: u8 = 0;
/// From here on the list has another form, which nobody has defined.
const UNDEFINED: u8 = 160;
/// What a client sends for a character that it does not have.
const NO_CHARACTER: u32 = 255;

/// Applies a client's modes to a terminal; what is unknown or impossible is left as it is.
pub(crate) fn apply(terminal: impl AsFd, modes: &[u8]) {
    let Ok(mut termios) = rustix::termios::tcgetattr(&terminal) else { return };
    let mut reader = Reader::new(modes);
    while let Ok(mode) = reader.byte() {
        if mode == END || mode >= UNDEFINED {
            break;
        }
        let Ok(value) = reader.number() else { break };
        set(&mut termios, mode, value);
    }
    let _ = rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &termios);
}

fn set(termios: &mut Termios, mode: u8, value: u32) {
    let is_on = value != 0;
    if let Some(index) = character(mode) {
        if let Some(byte) = u8::try_from(value).ok().filter(|_| value <= NO_CHARACTER) {
            // 255 stands for none, which is 0 here.
            termios.special_codes[index] = if value == NO_CHARACTER { 0 } else { byte };
        }
    } else if let Some(flag) = input(mode) {
        termios.input_modes.set(flag, is_on);
    } else if let Some(flag) = local(mode) {
        termios.local_modes.set(flag, is_on);
    } else if let Some(flag) = output(mode) {
        termios.output_modes.set(flag, is_on);
    } else if let Some(flag) = control(mode) {
        if flag == ControlModes::PARENB || flag == ControlModes::PARODD {
            termios.control_modes.set(flag, is_on);
        } else if is_on {
            termios.control_modes.remove(ControlModes::CSIZE);
            termios.control_modes.insert(flag);
        }
    }
}

const fn character(mode: u8) -> Option<SpecialCodeIndex> {
    Some(match mode {
        1 => SpecialCodeIndex::VINTR,
        2 => SpecialCodeIndex::VQUIT,
        3 => SpecialCodeIndex::VERASE,
        4 => SpecialCodeIndex::VKILL,
        5 => SpecialCodeIndex::VEOF,
        6 => SpecialCodeIndex::VEOL,
        7 => SpecialCodeIndex::VEOL2,
        8 => SpecialCodeIndex::VSTART,
        9 => SpecialCodeIndex::VSTOP,
        10 => SpecialCodeIndex::VSUSP,
        12 => SpecialCodeIndex::VREPRINT,
        13 => SpecialCodeIndex::VWERASE,
        14 => SpecialCodeIndex::VLNEXT,
        18 => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

const fn input(mode: u8) -> Option<InputModes> {
    Some(match mode {
        30 => InputModes::IGNPAR,
        31 => InputModes::PARMRK,
        32 => InputModes::INPCK,
        33 => InputModes::ISTRIP,
        34 => InputModes::INLCR,
        35 => InputModes::IGNCR,
        36 => InputModes::ICRNL,
        37 => InputModes::IUCLC,
        38 => InputModes::IXON,
        39 => InputModes::IXANY,
        40 => InputModes::IXOFF,
        41 => InputModes::IMAXBEL,
        42 => InputModes::IUTF8,
        _ => return None,
    })
}

const fn local(mode: u8) -> Option<LocalModes> {
    Some(match mode {
        50 => LocalModes::ISIG,
        51 => LocalModes::ICANON,
        53 => LocalModes::ECHO,
        54 => LocalModes::ECHOE,
        55 => LocalModes::ECHOK,
        56 => LocalModes::ECHONL,
        57 => LocalModes::NOFLSH,
        58 => LocalModes::TOSTOP,
        59 => LocalModes::IEXTEN,
        60 => LocalModes::ECHOCTL,
        61 => LocalModes::ECHOKE,
        62 => LocalModes::PENDIN,
        _ => return None,
    })
}

const fn output(mode: u8) -> Option<OutputModes> {
    Some(match mode {
        70 => OutputModes::OPOST,
        71 => OutputModes::OLCUC,
        72 => OutputModes::ONLCR,
        73 => OutputModes::OCRNL,
        74 => OutputModes::ONOCR,
        75 => OutputModes::ONLRET,
        _ => return None,
    })
}

const fn control(mode: u8) -> Option<ControlModes> {
    Some(match mode {
        90 => ControlModes::CS7,
        91 => ControlModes::CS8,
        92 => ControlModes::PARENB,
        93 => ControlModes::PARODD,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use linux::terminal::{Window, open};

    use super::*;
    use crate::encoding::Writer as _;

    #[test]
    fn known_modes_are_applied_and_the_rest_is_passed_over() {
        let pair = open(Window { columns: 80, rows: 24 }).expect("a terminal");
        let modes = Vec::new().byte(53).number(0).byte(1).number(7).byte(42).number(1).byte(2).number(255);
        let modes = modes.byte(129).number(38400).byte(99).number(1).byte(0).byte(53).number(1);
        apply(&pair.line, &modes);
        let termios = rustix::termios::tcgetattr(&pair.line).expect("modes");
        assert!(!termios.local_modes.contains(LocalModes::ECHO));
        assert!(termios.input_modes.contains(InputModes::IUTF8));
        assert_eq!(termios.special_codes[SpecialCodeIndex::VINTR], 7);
        assert_eq!(termios.special_codes[SpecialCodeIndex::VQUIT], 0);
        apply(&pair.line, &[53, 0]);
    }
}
